-- Where events are delivered to: what people set up, and what the courier keeps of each endpoint.
--
-- An endpoint's courier holds its lease and is the only one to write its state. Each act of a person gives the endpoint a
-- new epoch, so that a courier that does not know of it yet writes no more, reads everything again and goes on.
-- needs: base

-- Acts on endpoints that are kept, newest last.
local ENDPOINT_ACTS = 10000

local function courier_of(name)
  return prefix .. 'courier:' .. name
end

-- Note an act, once: it carries an id of its own. -> whether it is new
local function note_act(act)
  local acts = prefix .. 'endpoint_acts'
  if redis.call('LPOS', acts, act, 'RANK', -1, 'MAXLEN', 1000) then return false end
  redis.call('RPUSH', acts, act)
  redis.call('LTRIM', acts, -ENDPOINT_ACTS, -1)
  return true
end

-- Note an act and begin a new epoch. -> whether it is new
local function begin_epoch(name, epoch, act)
  local new = note_act(act)
  if new then redis.call('HSET', courier_of(name), 'epoch', epoch) end
  return new
end

-- endpoint_add name config cursor most epoch act -> added | taken | full
function operations.endpoint_add(name, config, cursor, most, epoch, act)
  local there = redis.call('HGET', prefix .. 'endpoints', name)
  if there then return there == config and 'added' or 'taken' end
  if redis.call('HLEN', prefix .. 'endpoints') >= tonumber(most) then return 'full' end
  redis.call('HSET', prefix .. 'endpoints', name, config)
  redis.call('HSET', courier_of(name), 'cursor', cursor)
  begin_epoch(name, epoch, act)
  return 'added'
end

-- endpoint_change name before config epoch act -> changed | gone | again: it is not as it was before
function operations.endpoint_change(name, before, config, epoch, act)
  local there = redis.call('HGET', prefix .. 'endpoints', name)
  if not there then return 'gone' end
  if there ~= config and there ~= before then return 'again' end
  redis.call('HSET', prefix .. 'endpoints', name, config)
  begin_epoch(name, epoch, act)
  return 'changed'
end

-- endpoint_pause name why epoch act -> 1, or 0 when there is no such endpoint. why "": it is resumed, and tried at once
function operations.endpoint_pause(name, why, epoch, act)
  if redis.call('HEXISTS', prefix .. 'endpoints', name) == 0 then return 0 end
  if not begin_epoch(name, epoch, act) then return 1 end
  if why ~= '' then
    redis.call('HSET', courier_of(name), 'paused', why)
  else
    redis.call('HDEL', courier_of(name), 'paused', 'tries', 'failing_since', 'next')
  end
  return 1
end

-- endpoint_replay name id range epoch act -> 1, or 0 when there is no such endpoint
function operations.endpoint_replay(name, id, range, epoch, act)
  if redis.call('HEXISTS', prefix .. 'endpoints', name) == 0 then return 0 end
  if begin_epoch(name, epoch, act) then redis.call('HSET', prefix .. 'replays:' .. name, id, range) end
  return 1
end

-- endpoint_note act: somebody did something that changes nothing
function operations.endpoint_note(act)
  note_act(act)
end

-- endpoint_remove name act -> 1, or 0 when there is none
function operations.endpoint_remove(name, act)
  local there = redis.call('HDEL', prefix .. 'endpoints', name)
  if there == 1 then note_act(act) end
  local removed = there == 1 or redis.call('LPOS', prefix .. 'endpoint_acts', act, 'RANK', -1, 'MAXLEN', 1000)
  redis.call('DEL', courier_of(name), prefix .. 'parked:' .. name, prefix .. 'replays:' .. name)
  return removed and 1 or 0
end

-- courier_hold token lease_ms most name* -> newest event's id or false, and (name epoch)* of what the token holds now.
-- Endpoints that are named are let go of. Whoever takes an endpoint begins an epoch: what was read before counts no more.
function operations.courier_hold(token, lease_ms, most, ...)
  local let_go, held = {}, {}
  for _, name in ipairs({...}) do let_go[name] = true end
  local newest = redis.call('XREVRANGE', prefix .. 'events', '+', '-', 'COUNT', 1)[1]
  for _, name in ipairs(redis.call('HKEYS', prefix .. 'endpoints')) do
    local state = courier_of(name)
    local found = redis.call('HMGET', state, 'lease', 'paused', 'epoch')
    local holder, ends = string.match(found[1] or '', '^(%S+) (%d+)$')
    local free = not holder or tonumber(ends) <= now_ms
    if found[2] or let_go[name] then
      if holder == token then redis.call('HDEL', state, 'lease') end
    elseif (free or holder == token) and #held < 2 * most then
      local epoch = found[3] or ''
      if free then
        epoch = token .. '-' .. int(now_ms)
        redis.call('HSET', state, 'epoch', epoch)
      end
      -- Written again only when half of it is over: a look costs no write.
      if free or tonumber(ends) - now_ms < lease_ms / 2 then
        redis.call('HSET', state, 'lease', token .. ' ' .. int(now_ms + lease_ms))
      end
      held[#held + 1] = name
      held[#held + 1] = epoch
    end
  end
  return {newest and newest[1] or false, held}
end

-- Write a hash's fields; an empty value takes the field away.
local function write(hash, fields)
  for name, value in pairs(fields) do
    if value == '' then redis.call('HDEL', hash, name) else redis.call('HSET', hash, name, value) end
  end
end

-- courier_commit name token epoch json -> 1, or 0 when the endpoint is not this token's, or has another epoch
-- json: {"state", "parked", "replays"}: fields by name, "" for one that goes
function operations.courier_commit(name, token, epoch, json)
  local found = redis.call('HMGET', courier_of(name), 'lease', 'epoch')
  if string.match(found[1] or '', '^(%S+) ') ~= token or found[2] ~= epoch then return 0 end
  local changes = cjson.decode(json)
  write(courier_of(name), changes.state)
  write(prefix .. 'parked:' .. name, changes.parked)
  write(prefix .. 'replays:' .. name, changes.replays)
  return 1
end

-- courier_release token name*: whoever stops lets others go on at once
function operations.courier_release(token, ...)
  for _, name in ipairs({...}) do
    local lease = redis.call('HGET', courier_of(name), 'lease')
    if lease and string.match(lease, '^(%S+) ') == token then redis.call('HDEL', courier_of(name), 'lease') end
  end
end
