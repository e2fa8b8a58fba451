-- What a step found out, written all at once: commit.
-- needs: base details events imports pace schedule

-- commit key fence at_ms tolerance_ms place step phase format json history told scheduled delay_ms applied customer_id external_id
--   input_ttl_ms import good bad (part sealed)*
-- scheduled: see schedule in schedule.lua. applied: JSON list of acts. delay_ms "": nothing is due any more; 0: the caller sends the
-- next nudge now. good, bad: how Iron answered the claim's calls, for the breaker. sealed "": the part is dropped
-- at_ms: what the worker takes for now. -> committed version due nudge now | stale | jumped: the worker's clock is wrong
function operations.commit(
  key, fence, at_ms, tolerance_ms, place, step, phase, format, json, history, told, scheduled, delay_ms, applied, customer_id,
  external_id, ttl_ms, import, good, bad, ...
)
  local record = load(key)
  if record and record.token == fence then
    local due = redis.call('ZSCORE', due_of(record.place), key)
    return {'committed', record.version, due, delay_ms == '0' and 1 or 0, now_ms}
  end
  local claim = claim_of(key)
  if not record or not claim or claim.fence ~= fence then return {'stale'} end
  -- Whoever slept with a clock that stood still does not know when its calls were made.
  if math.abs(now_ms - at_ms) > tonumber(tolerance_ms) then return {'jumped'} end

  if place == READ_AGAIN and claim.woken == '1' then place = record.lane end
  local version = record.version + 1
  local since = phase == record.phase and record.since or int(now_ms)
  save(key, format, version, fence, place, phase, step, record.created, since, json)
  redis.call('HDEL', prefix .. 'claims', key)
  weather(fence, tonumber(good), tonumber(bad))
  redis.call('RPUSH', prefix .. 'history:' .. key, history)
  tell(key, phase, version, told)
  if phase ~= record.phase then
    redis.call('ZREM', prefix .. 'phase:' .. record.phase, key)
    redis.call('ZADD', prefix .. 'phase:' .. phase, int(now_ms), key)
    count_phase(import, record.phase, phase)
  end
  local was_or_is_active = phase == 'active' or record.phase == 'active'
  local by_another_policy = was_or_is_active and schedule(key, phase, step, scheduled)
  for _, act in ipairs(cjson.decode(applied)) do redis.call('LREM', prefix .. 'acts:' .. key, 1, act) end
  local woken = claim.woken == '1'
  if customer_id ~= '' and redis.call('HSET', prefix .. 'customer', customer_id, key) == 1 then
    woken = redis.call('DEL', prefix .. 'unclaimed:' .. customer_id) == 1 or woken
  end
  if external_id ~= '' then redis.call('HSETNX', prefix .. 'external', external_id, key) end
  keep_parts(key, {...})
  if ttl_ms ~= '' then
    if tonumber(ttl_ms) > 0 then
      redis.call('PEXPIRE', prefix .. 'input:' .. key, ttl_ms)
    else
      redis.call('PERSIST', prefix .. 'input:' .. key)
    end
  end

  if place ~= record.place then redis.call('ZREM', due_of(record.place), key) end
  local nudge = delay_ms == '0' or woken
  if delay_ms == '' and not nudge then
    redis.call('ZREM', due_of(place), key)
    return {'committed', version, false, 0, now_ms}
  end
  local due = now_ms + (nudge and NUDGE_MS or delay_ms)
  if by_another_policy then due = math.min(due, now_ms + RULE_MS) end
  redis.call('ZADD', due_of(place), int(due), key)
  return {'committed', version, int(due), nudge and 1 or 0, now_ms}
end
