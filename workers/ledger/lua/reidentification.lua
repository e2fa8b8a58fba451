-- Re-identification: the places of a day, and runs. Keys: starts:*, run*, see base.lua.
-- needs: wake

-- How long the starts of a day and a run are kept for reports, in ms: 400 days.
local STARTS_KEPT_MS = 34560000000

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
