-- Sealed values, for whoever counts them or replaces a key: heads, reseal. What is sealed is opaque here.
-- needs: base

-- Bytes at the beginning of a sealed value that say which key sealed it; see workers/secrets/vault.py.
local HEAD = 5

-- heads sort now key* -> (number of the key from 1, where, head)* for each sealed value of keys like input:<key>
-- sort: input and report are hashes, and where is the field; evidence and acts are lists, and where is the element itself,
-- or "" for one whose head is `now`. Of acts, which hold sealed text inside, those that do so, with "" for the head.
function operations.heads(sort, now_head, ...)
  local found, of_hash = {}, sort == 'input' or sort == 'report'
  local function note(number, where, head)
    found[#found + 1], found[#found + 2], found[#found + 3] = number, where, head
  end
  for number, key in ipairs({...}) do
    local name = prefix .. sort .. ':' .. key
    if of_hash then
      local values = redis.call('HGETALL', name)
      for i = 1, #values, 2 do note(number, values[i], string.sub(values[i + 1], 1, HEAD)) end
    else
      for _, element in ipairs(redis.call('LRANGE', name, 0, -1)) do
        local head = sort == 'evidence' and string.sub(element, 1, HEAD) or ''
        if sort == 'evidence' then note(number, head == now_head and '' or element, head) end
        if sort == 'acts' and string.find(element, '"parts"', 1, true) then note(number, element, '') end
      end
    end
  end
  return found
end

-- Put another element of a list in the place of one, if that is still there.
local function instead(list, old, new)
  local at = redis.call('LPOS', list, old)
  if at then redis.call('LSET', list, at, new) end
  return at and 1 or 0
end

-- reseal sort (key where old new)* -> for each 1 where new stands now, 0 where old is not there any more
-- sort: as above, and endpoints, whose key is "" and where the endpoint's name. The time to live of a hash stays.
-- Acts of a record that a worker may still commit stay as they are: the commit takes away what it applied by its text.
function operations.reseal(sort, ...)
  local given, done = {...}, {}
  for i = 1, #given, 4 do
    local key, where, old, new = unpack(given, i, i + 3)
    local name = prefix .. (sort == 'endpoints' and sort or sort .. ':' .. key)
    if sort == 'evidence' then
      done[#done + 1] = instead(name, old, new)
    elseif sort == 'acts' then
      done[#done + 1] = redis.call('HEXISTS', prefix .. 'claims', key) == 0 and instead(name, old, new) or 0
    elseif redis.call('HGET', name, where) == old then
      redis.call('HSET', name, where, new)
      done[#done + 1] = 1
    else
      done[#done + 1] = 0
    end
  end
  return done
end
