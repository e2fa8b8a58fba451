-- Iron's budget: which calls may leave, and when. Keys: pace:*, see base.lua.

-- Take n slots of each class from the budget. Answers the ms to wait before the calls, or -1 and the ms to come back in.
local function pace(classes, horizon_ms)
  local closed = tonumber(redis.call('GET', prefix .. 'pace:closed') or 0)
  if closed > now then return -1, closed - now end
  local wait = 0
  for _, class in ipairs(classes) do
    class.free = math.max(tonumber(redis.call('GET', prefix .. 'pace:' .. class.name) or 0), now)
    wait = math.max(wait, class.free - now)
  end
  if wait > horizon_ms then return -1, wait end
  for _, class in ipairs(classes) do
    local free = class.free + class.n * class.interval_ms
    redis.call('SET', prefix .. 'pace:' .. class.name, string.format('%.3f', free), 'PX', int(free - now + 1000))
  end
  return math.ceil(wait)
end

-- How many records of a lane may be taken now, at most n.
local function room(_, n)
  return n
end

-- close ms -> 1. No call to Iron for so long, for the whole fleet.
function operations.close(pause_ms)
  local ends = now_ms + pause_ms
  if tonumber(redis.call('GET', prefix .. 'pace:closed') or 0) < ends then
    redis.call('SET', prefix .. 'pace:closed', int(ends), 'PX', int(math.max(pause_ms, 1)))
  end
  return 1
end
