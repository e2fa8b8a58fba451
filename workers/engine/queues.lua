-- What workers do with the queues, beside Dramatiq's own script, with which producers send: by the server's clock, and
-- without KEYS, which servers forbid and which looks at every key.
--
--   KEYS[1]  namespace of all keys, "dramatiq"
--   ARGV[1]  operation: fetch, ack, nack, requeue, postpone, bring, recover, forget, look
--   ARGV[2+] arguments of the operation, see there
--
-- Keys of Dramatiq, with <q> a queue:
--   <q>                 list  ids of messages, oldest first
--   <q>.msgs            hash  id -> message; where each message is until somebody acknowledges it
--   <q>.DQ, <q>.DQ.msgs list, hash  what producers send with a delay
--   <q>.XQ, <q>.XQ.msgs zset, hash  dead letters, by when they died
--   __acks__.<worker>.<q> set  ids that a worker has fetched
--   __heartbeats__      zset  worker -> ms of its last sign of life
-- Keys of our own:
--   <q>.later, <q>.later.msgs zset, hash  messages whose time has not come, by when it comes
--   <key>.aside.<ms>    what stood in the place of one of these keys and is of another type

local namespace = KEYS[1] .. ':'
local operation = ARGV[1]
local heartbeats = namespace .. '__heartbeats__'
local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local operations = {}

local function int(number) return string.format('%.0f', number) end
local function leased(worker, queue) return namespace .. '__acks__.' .. worker .. '.' .. queue end
local function alive(worker) redis.call('ZADD', heartbeats, int(now_ms), worker) end

-- Puts a message at the end of its queue. It answers whether there was one: an id alone is what a repeated call left.
local function push(source, queue, id)
  local data = redis.call('HGET', source, id)
  if not data then return 0 end
  local messages = namespace .. queue .. '.msgs'
  if source ~= messages then
    redis.call('HSET', messages, id, data)
    redis.call('HDEL', source, id)
  end
  redis.call('RPUSH', namespace .. queue, id)
  return 1
end

-- fetch queue worker count longest: takes up to count messages; answers the time, then id and message by turns. Of a
-- message that is longer than this many bytes only the id comes, and after this many bytes of messages no further one.
function operations.fetch(queue, worker, count, longest)
  local messages, found, bytes = namespace .. queue .. '.msgs', {int(now_ms)}, 0
  alive(worker)
  longest = tonumber(longest)
  for _ = 1, 1000 do -- ids without a message are passed over, and not for long
    local id = #found < 2 * count and bytes < longest and redis.call('LPOP', namespace .. queue)
    if not id then break end
    local there = redis.call('HEXISTS', messages, id) == 1
    if not there and #id > 64 then -- no id is so long: somebody has put the message itself on the list
      redis.call('HSET', messages, id, id)
      there = true
    end
    if there then
      redis.call('SADD', leased(worker, queue), id)
      local size = redis.call('HSTRLEN', messages, id)
      found[#found + 1] = id
      found[#found + 1] = size <= longest and redis.call('HGET', messages, id) or false
      if size <= longest then bytes = bytes + size end
    end
  end
  return found
end

-- ack queue worker id: the message is done with
function operations.ack(queue, worker, id)
  if redis.call('SREM', leased(worker, queue), id) == 1 then redis.call('HDEL', namespace .. queue .. '.msgs', id) end
end

-- nack queue worker id: the message becomes a dead letter
function operations.nack(queue, worker, id)
  if redis.call('SREM', leased(worker, queue), id) == 0 then return end
  local messages, dead = namespace .. queue .. '.msgs', namespace .. queue .. '.XQ'
  local data = redis.call('HGET', messages, id)
  if not data then return end
  redis.call('ZADD', dead, int(now_ms), id)
  redis.call('HSET', dead .. '.msgs', id, data)
  redis.call('HDEL', messages, id)
end

-- requeue queue worker id...: messages go back to the end of their queue
function operations.requeue(queue, worker, ...)
  local brought = 0
  for _, id in ipairs({...}) do
    if redis.call('SREM', leased(worker, queue), id) == 1 then
      brought = brought + push(namespace .. queue .. '.msgs', queue, id)
    end
  end
  return brought
end

-- postpone queue worker id due...: messages wait until their time has come
function operations.postpone(queue, worker, ...)
  local messages, later, pairs_ = namespace .. queue .. '.msgs', namespace .. queue .. '.later', {...}
  for at = 1, #pairs_, 2 do
    local id, due = pairs_[at], pairs_[at + 1]
    local data = redis.call('SREM', leased(worker, queue), id) == 1 and redis.call('HGET', messages, id)
    if data then
      redis.call('HSET', later .. '.msgs', id, data)
      redis.call('ZADD', later, due, id)
      redis.call('HDEL', messages, id)
    end
  end
end

-- Sets aside what has a key's name and is of another type: in its place every call would fail.
local function proper(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then redis.call('RENAME', key, key .. '.aside.' .. int(now_ms)) end
end

-- Brings up to most messages of a hash to a queue: those that ids names, and those that no index of the hash names.
local function bring_from(source, index, size, queue, ids, most)
  local brought = 0
  for _, id in ipairs(ids) do brought = brought + push(source, queue, id) end
  if redis.call(size, index) == 0 and redis.call('HLEN', source) > 0 then
    local page = redis.call('HSCAN', source, 0, 'COUNT', 10)[2]
    for at = 1, math.min(#page, 2 * most), 2 do brought = brought + push(source, queue, page[at]) end
  end
  return brought
end

-- bring worker most queue...: of each queue, what is due, what was sent with a delay, and dead letters go to its end, for
-- whoever fetches them to decide; answers how many. It is the worker's sign of life, too.
function operations.bring(worker, most, ...)
  local brought, last = 0, tonumber(most) - 1
  proper(heartbeats, 'zset')
  alive(worker)
  for _, queue in ipairs({...}) do
    local key = namespace .. queue
    proper(leased(worker, queue), 'set')
    for suffix, wanted in pairs({[''] = 'list', ['.DQ'] = 'list', ['.XQ'] = 'zset', ['.later'] = 'zset'}) do
      proper(key .. suffix, wanted)
      proper(key .. suffix .. '.msgs', 'hash')
    end
    local due = redis.call('ZRANGEBYSCORE', key .. '.later', '-inf', int(now_ms), 'LIMIT', 0, last + 1)
    for _, id in ipairs(due) do redis.call('ZREM', key .. '.later', id) end
    brought = brought + bring_from(key .. '.later.msgs', key .. '.later', 'ZCARD', queue, due, last + 1)
    local delayed = redis.call('LRANGE', key .. '.DQ', 0, last)
    if #delayed > 0 then redis.call('LTRIM', key .. '.DQ', #delayed, -1) end
    brought = brought + bring_from(key .. '.DQ.msgs', key .. '.DQ', 'LLEN', queue, delayed, last + 1)
    local dead = redis.call('ZRANGE', key .. '.XQ', 0, last)
    for _, id in ipairs(dead) do redis.call('ZREM', key .. '.XQ', id) end
    brought = brought + bring_from(key .. '.XQ.msgs', key .. '.XQ', 'ZCARD', queue, dead, last + 1)
  end
  return brought
end

-- Puts the messages of a queue that neither its list nor any worker's set names at its end; answers how many. More than
-- most are not looked through.
local function relist(queue, workers, most)
  local messages, held = namespace .. queue .. '.msgs', redis.call('LLEN', namespace .. queue)
  for _, worker in ipairs(workers) do held = held + redis.call('SCARD', leased(worker, queue)) end
  local size = redis.call('HLEN', messages)
  if size <= held or size > most then return 0 end
  local known, brought = {}, 0
  for _, id in ipairs(redis.call('LRANGE', namespace .. queue, 0, -1)) do known[id] = true end
  for _, worker in ipairs(workers) do
    for _, id in ipairs(redis.call('SMEMBERS', leased(worker, queue))) do known[id] = true end
  end
  for _, id in ipairs(redis.call('HKEYS', messages)) do
    if not known[id] then brought = brought + push(messages, queue, id) end
  end
  return brought
end

-- recover dead_ms most number queue... worker...: what these workers have fetched of these queues, as far as they gave no
-- sign of life for this long, goes back, and so does what nobody names; answers how many.
function operations.recover(dead_ms, most, number, ...)
  local names, brought, since = {...}, 0, now_ms - dead_ms
  local living = redis.call('ZRANGEBYSCORE', heartbeats, int(since), '+inf')
  for at = 1, number do
    local queue = names[at]
    for of = number + 1, #names do
      local key, seen_ms = leased(names[of], queue), redis.call('ZSCORE', heartbeats, names[of])
      if (not seen_ms or tonumber(seen_ms) < since) and redis.call('TYPE', key).ok == 'set' then
        for _, id in ipairs(redis.call('SMEMBERS', key)) do
          brought = brought + push(namespace .. queue .. '.msgs', queue, id)
        end
        redis.call('DEL', key)
      end
    end
    brought = brought + relist(queue, living, tonumber(most))
  end
  return brought
end

-- forget dead_ms worker...: of the workers without a sign of life only these, who have fetched something, are kept
function operations.forget(dead_ms, ...)
  local kept = {}
  for _, worker in ipairs({...}) do kept[worker] = true end
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, '-inf', int(now_ms - dead_ms), 'LIMIT', 0, 1000)) do
    if not kept[worker] then redis.call('ZREM', heartbeats, worker) end
  end
end

-- How many things a key of each type holds; what is of another type is one.
local SIZES = {list = 'LLEN', hash = 'HLEN', set = 'SCARD', zset = 'ZCARD', stream = 'XLEN'}
-- The first ids that are named in the place beside a hash of messages.
local FIRST = {list = 'LRANGE', zset = 'ZRANGE'}

-- The first messages of a hash, for their dates: those whose ids stand first beside it, none that is longer than so many
-- bytes.
local function first(key, longest)
  local found, index = {}, string.sub(key, 1, -6)
  local names = FIRST[redis.call('TYPE', index).ok]
  local ids = names and redis.call(names, index, 0, 4) or {}
  if #ids == 0 and redis.call('HLEN', key) <= 100 then ids = {unpack(redis.call('HKEYS', key), 1, 5)} end
  for _, id in ipairs(ids) do
    local size = redis.call('HSTRLEN', key, id)
    if size > 0 and size <= longest then found[#found + 1] = redis.call('HGET', key, id) end
  end
  return found
end

-- look longest late_ms key...: answers the time and, for each key, its type, its size, how much of a zset has been due for
-- so long, and the first messages of a hash of messages; "hidden" for what this user may not look at. Changes nothing.
function operations.look(longest, late_ms, ...)
  local found = {int(now_ms)}
  for _, key in ipairs({...}) do
    local kind = redis.pcall('TYPE', key)
    if kind.err then
      found[#found + 1] = {'hidden', 1, 0, {}}
    else
      local size = SIZES[kind.ok] and redis.call(SIZES[kind.ok], key) or 1
      local due = kind.ok == 'zset' and redis.call('ZCOUNT', key, '-inf', int(now_ms - late_ms)) or 0
      local messages = kind.ok == 'hash' and string.sub(key, -5) == '.msgs'
      found[#found + 1] = {kind.ok, size, due, messages and first(key, tonumber(longest)) or {}}
    end
  end
  return found
end

return operations[operation](unpack(ARGV, 2))
