-- What is kept beside a record: the sealed parts of its input, its e-mail address, its customer's links.
-- needs: base

local function keep_parts(key, parts)
  for i = 1, #parts, 2 do
    if parts[i + 1] == '' then
      redis.call('HDEL', prefix .. 'input:' .. key, parts[i])
    else
      redis.call('HSET', prefix .. 'input:' .. key, parts[i], parts[i + 1])
    end
  end
end

-- Let a digest of an e-mail address lead to a record, beside those that have the same address, and instead of one that
-- is no more. digest "": there is none.
local function remember_email(digest, key, instead_of)
  if digest == '' then return end
  local keys = {key}
  for holder in string.gmatch(redis.call('HGET', prefix .. 'email', digest) or '', '[^\n]+') do
    if holder ~= key and holder ~= instead_of then keys[#keys + 1] = holder end
  end
  redis.call('HSET', prefix .. 'email', digest, table.concat(keys, '\n'))
end

-- How often the customer's links to this record were revoked, and by which call last.
local function revocations(key)
  local serial, token = string.match(redis.call('HGET', prefix .. 'links', key) or '0 ', '^(%d+) (.*)$')
  return tonumber(serial), token
end
