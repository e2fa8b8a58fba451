-- Re-identification: the policy in force, the places of a day, and runs. Keys: reidentification*, starts:*, run*, see base.lua.
-- needs: wake

-- How long the starts of a day and a run are kept for reports, in ms: 400 days.
local STARTS_KEPT_MS = 34560000000

-- policy token version json -> the version now in force, which is this one unless another was stored meanwhile
function operations.policy(token, version, json)
  local rule = prefix .. 'reidentification'
  local before, last = unpack(redis.call('HMGET', rule, 'version', 'token'))
  if last ~= token and version - 1 == tonumber(before or '0') then
    redis.call('HSET', rule, 'version', version, 'token', token, 'policy', json, 'moved', '-', 'count', 0)
    redis.call('RPUSH', prefix .. 'reidentification_log', json)
  end
  return tonumber(redis.call('HGET', rule, 'version'))
end

-- move token lease_ms version place count -> place: where to go on | wait | done | other: not the policy in force
-- One at a time moves the due times of those a new policy concerns. place: "" asks for it, "." all are through.
function operations.move(token, lease_ms, version, place, count)
  local rule = prefix .. 'reidentification'
  local now_version, moved, holder, ends = unpack(redis.call('HMGET', rule, 'version', 'moved', 'mover', 'until'))
  if now_version ~= version then return {'other'} end
  if moved == '.' then return {'done'} end
  if holder and holder ~= token and tonumber(ends) > now then return {'wait', int(tonumber(ends) - now)} end
  redis.call('HSET', rule, 'mover', token, 'until', int(now_ms + lease_ms))
  if place ~= '' then
    redis.call('HSET', rule, 'moved', place, 'count', count)
    moved = place
  end
  if moved == '.' then return {'done'} end
  return {'place', moved, redis.call('HGET', rule, 'count')}
end

-- due (key version at_ms)* -> how many. Another due time for records as they were read; one in hand gets its own.
function operations.due(...)
  local given, moved = {...}, 0
  for i = 1, #given, 3 do
    local key, record, claim = given[i], load(given[i]), claim_of(given[i])
    if record and record.version == tonumber(given[i + 1]) and not (claim and claim.ends > now) then
      set_due(record, key, math.max(tonumber(given[i + 2]), now_ms))
      moved = moved + 1
    end
  end
  return moved
end

-- place key run day order_ms cap -> granted | full ahead taken | paused | cancelled
-- One of the day's starts, for the same key always the same one. Those who wait come in their order, whoever asks first.
function operations.place(key, run, day, order_ms, cap)
  local starts, waiting = prefix .. 'starts:' .. day, prefix .. 'waiting:start'
  if redis.call('ZSCORE', starts, key) then return {'granted'} end
  local state = redis.call('HGET', prefix .. 'run:' .. run, 'state')
  if state == 'paused' or state == 'cancelled' then
    redis.call('ZREM', waiting, key)
    return {state}
  end
  redis.call('ZADD', waiting, order_ms, key)
  local taken, ahead = redis.call('ZCARD', starts), redis.call('ZRANK', waiting, key)
  if taken + ahead >= tonumber(cap) then return {'full', ahead, taken} end
  redis.call('ZREM', waiting, key)
  redis.call('ZADD', starts, int(now_ms), key)
  redis.call('PEXPIRE', starts, int(STARTS_KEPT_MS))
  if redis.call('ZSCORE', prefix .. 'run_keys:' .. run, key) then
    redis.call('ZADD', prefix .. 'run_keys:' .. run, int(now_ms), key)
  end
  return {'granted'}
end

-- ask run act key* -> 1 for each key whose act is stored now, 0 for one that is in this run already, -1 for no record.
-- The pulse sends them, so that thousands do not fill the queues.
function operations.ask(run, act, ...)
  local keys, answers = prefix .. 'run_keys:' .. run, {}
  redis.call('HSETNX', prefix .. 'run:' .. run, 'begun', int(now_ms))
  for i, key in ipairs({...}) do
    local record = load(key)
    if not record then
      answers[i] = -1
    elseif redis.call('ZADD', keys, 'NX', 0, key) == 0 then
      answers[i] = redis.call('LPOS', prefix .. 'acts:' .. key, act) and 1 or 0
    else
      redis.call('RPUSH', prefix .. 'acts:' .. key, act)
      if wake(key, record)[1] == 'nudge' then set_due(record, key, now_ms) end
      answers[i] = 1
    end
  end
  for _, name in ipairs({'run:', 'run_keys:'}) do redis.call('PEXPIRE', prefix .. name .. run, int(STARTS_KEPT_MS)) end
  return answers
end

-- run name state json -> the state now: running, paused, cancelled; "" asks. json: who and why, kept in its log
function operations.run(name, state, json)
  local run = prefix .. 'run:' .. name
  local before = redis.call('HGET', run, 'state') or 'running'
  if state ~= '' and before ~= 'cancelled' and state ~= before then
    redis.call('HSET', run, 'state', state, 'last', json)
    redis.call('HSETNX', run, 'begun', int(now_ms))
    redis.call('PEXPIRE', run, int(STARTS_KEPT_MS))
    before = state
  end
  return before
end

-- rouse key* -> how many. Those who wait for something that has changed look at once; one in hand does after its commit.
function operations.rouse(...)
  local roused = 0
  for _, key in ipairs({...}) do
    local record = load(key)
    if record and redis.call('ZSCORE', due_of(record.place), key) then
      if wake(key, record)[1] == 'nudge' then set_due(record, key, now_ms) end
      roused = roused + 1
    end
  end
  return roused
end
