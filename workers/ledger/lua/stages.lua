-- How long stages took, which have a limit, and which are over it: ages, limits, timed, overdue. Keys: see ages.lua.
-- needs: base events policies ages

-- Stages that one call finds over their limit, at most, of each.
local OVERDUE_AT_ONCE = 200

-- ages -> for each window stages and their counts, limits as stages and ms, and for each of these how many are over it
function operations.ages()
  pcall(roll)  -- what is read is a little old where nothing can be written
  local found = {}
  for i, window in ipairs(WINDOWS) do found[i] = redis.call('HGETALL', prefix .. 'ages_in:' .. window.name) end
  local limits = redis.call('HGETALL', prefix .. 'limited')
  local counts = {}
  for i = 1, #limits, 2 do counts[#counts + 1] = redis.call('ZCARD', prefix .. 'overdue:' .. limits[i]) end
  found[#found + 1], found[#found + 2] = limits, counts
  return found
end

-- limits token version json (stage ms)* -> the version now in force, as policy
function operations.limits(token, version, json, ...)
  local given = {...}
  local _, last = unpack(redis.call('HMGET', prefix .. 'limits', 'version', 'token'))
  local in_force = operations.policy('limits', token, version, json)
  if last ~= token and redis.call('HGET', prefix .. 'limits', 'token') == token then
    redis.call('DEL', prefix .. 'limited')
    if #given > 0 then redis.call('HSET', prefix .. 'limited', unpack(given)) end
  end
  return in_force
end

-- timed (key version stage since)* -> how many. Begins the clocks of records as they were read, for a new policy; one that
-- is over its limit and was told stays so.
function operations.timed(...)
  local given, begun = {...}, 0
  for i = 1, #given, 4 do
    local key, version, stage, since = given[i], given[i + 1], given[i + 2], given[i + 3]
    local record, limit = load(key), redis.call('HGET', prefix .. 'limited', stage)
    if record and limit and record.version == tonumber(version) then
      local told = redis.call('ZSCORE', prefix .. 'overdue:' .. stage, key)
      if not told or tonumber(since) > now_ms - limit then
        forget_stage(key, stage)
        redis.call('ZADD', prefix .. 'timed:' .. stage, since, key)
        begun = begun + 1
      end
    end
  end
  return begun
end

-- overdue -> how many stages are over their limit now of which that was not told yet: it is, with this call
function operations.overdue()
  local limits, told = redis.call('HGETALL', prefix .. 'limited'), 0
  for i = 1, #limits, 2 do
    local stage, limit = limits[i], tonumber(limits[i + 1])
    local phase, actor = string.match(stage, '^(%S+) (%S+)$')
    local timed = prefix .. 'timed:' .. stage
    local late = redis.call('ZRANGEBYSCORE', timed, '-inf', int(now_ms - limit), 'WITHSCORES', 'LIMIT', 0, OVERDUE_AT_ONCE)
    for n = 1, #late, 2 do
      local key, record = late[n], load(late[n])
      redis.call('ZREM', timed, key)
      -- A worker of an older release ends stages without a word: what is in its phase since later is not this stage.
      if record and record.phase == phase and tonumber(record.since) <= tonumber(late[n + 1]) then
        redis.call('ZADD', prefix .. 'overdue:' .. stage, late[n + 1], key)
        tell(key, phase, record.version, actor .. ' overdue/' .. int(limit / 1000))
        told = told + 1
      end
    end
  end
  return told
end
