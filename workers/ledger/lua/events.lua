-- What upstream is told: an entry of the event stream in the very call that makes it true.
-- needs: base

-- told: "" or "<who must act> <name of an event>*", a name with what it says besides, each after a slash; a call that is repeated is recognised before it comes here
local function tell(key, phase, version, told)
  local who, names = string.match(told, '^(%S+) (.+)$')
  for name in string.gmatch(names or '', '%S+') do
    redis.call('XADD', prefix .. 'events', '*', 'key', key, 'what', table.concat({name, phase, who, int(version)}, ' '))
  end
end

-- The cursor after which an entry is the next one.
local function before(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  if tonumber(number) > 0 then return ms .. '-' .. int(number - 1) end
  return int(ms - 1) .. '-9999999'
end

-- drop_events kept_ms at_most -> how many entries were dropped, those older than kept_ms and the oldest of too many.
-- events_gone names the newest of them, so that a reader who had not got so far can be told.
function operations.drop_events(kept_ms, at_most)
  local stream, gone = prefix .. 'events', prefix .. 'events_gone'
  local limit = int(math.max(0, now_ms - kept_ms)) .. '-0'
  local last = redis.call('XREVRANGE', stream, '(' .. limit, '-', 'COUNT', 1)[1]
  local dropped = 0
  if last then
    redis.call('SET', gone, last[1])
    dropped = redis.call('XTRIM', stream, 'MINID', limit)
  end
  if redis.call('XLEN', stream) > tonumber(at_most) then
    dropped = dropped + redis.call('XTRIM', stream, 'MAXLEN', '~', at_most)
    local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    if first and dropped > 0 then redis.call('SET', gone, before(first[1])) end
  end
  return dropped
end
