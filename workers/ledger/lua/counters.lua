-- What workers count, added up over the fleet. Keys: counters, counted:<token>, see base.lua.
-- needs: base

-- How long a call of `count` is remembered, in ms: far longer than redis-py repeats one.
local COUNTED_MS = 60000

-- count token (field n)* -> 1
function operations.count(token, ...)
  if redis.call('SET', prefix .. 'counted:' .. token, 1, 'NX', 'PX', COUNTED_MS) then
    local given = {...}
    for i = 1, #given, 2 do redis.call('HINCRBY', prefix .. 'counters', given[i], given[i + 1]) end
  end
  return 1
end
