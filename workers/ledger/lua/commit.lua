-- What a step found out, written all at once: commit.
-- needs: base details events ages imports news pace schedule

-- commit key fence at_ms tolerance_ms place step phase format json history told scheduled reminders turned delay_ms applied
--   customer_id external_id input_ttl_ms import good bad verdict (part sealed)*
-- scheduled: see schedule in schedule.lua. reminders: version of the policy of reminders by which it was looked whether one is
-- due, or "-". turned: see turn_stage in ages.lua. applied: JSON list of acts. delay_ms "": nothing is due any more; 0: the caller sends the
-- next nudge now. good, bad, verdict: how Iron answered the claim's calls, see weather in
-- pace.lua. sealed "": the part is dropped
-- at_ms: what the worker takes for now. News that came meanwhile lets the customer be read, whatever step was to come.
-- -> committed version due nudge now step | stale | jumped: the worker's clock is wrong
--    | withheld: it tells a reminder, and since the claim somebody did something or a webhook came; nothing is written
function operations.commit(
  key, fence, at_ms, tolerance_ms, place, step, phase, format, json, history, told, scheduled, reminders, turned, delay_ms, applied,
  customer_id, external_id, ttl_ms, import, good, bad, verdict, ...
)
  local record = load(key)
  if record and record.token == fence then
    local due = redis.call('ZSCORE', due_of(record.place), key)
    return {'committed', record.version, due, delay_ms == '0' and 1 or 0, now_ms, record.step}
  end
  local claim = claim_of(key)
  if not record or not claim or claim.fence ~= fence then return {'stale'} end
  -- Whoever slept with a clock that stood still does not know when its calls were made.
  if math.abs(now_ms - at_ms) > tonumber(tolerance_ms) then return {'jumped'} end
  if claim.woken ~= '0' and string.find(told, ' reminder_due/', 1, true) then return {'withheld'} end

  local new, asked = nil, claim.woken == '1' or claim.woken == '3'
  if claim.woken == '2' or claim.woken == '3' then
    new = newest(phase, json, redis.call('GET', prefix .. 'hints:' .. key) or '!')
    redis.call('DEL', prefix .. 'hints:' .. key)
  end
  local unclaimed = customer_id ~= '' and redis.call('GET', prefix .. 'unclaimed:' .. customer_id)
  if unclaimed then
    redis.call('DEL', prefix .. 'unclaimed:' .. customer_id)
    new = new == 'now' and new or newest(phase, json, unclaimed)
  end
  if new == 'soon' and (delay_ms == '0' or asked) then new = nil end
  if new and cjson.decode(json).customer_id then step = 'refresh' end
  if place == READ_AGAIN and (new or asked) then place = record.lane end
  local version = record.version + 1
  local since = phase == record.phase and record.since or int(now_ms)
  save(key, format, version, fence, place, phase, step, record.created, since, json)
  redis.call('HDEL', prefix .. 'claims', key)
  weather(fence, key, tonumber(good), tonumber(bad), verdict)
  redis.call('RPUSH', prefix .. 'history:' .. key, history)
  tell(key, phase, version, told)
  if phase ~= record.phase then
    redis.call('ZREM', prefix .. 'phase:' .. record.phase, key)
    redis.call('ZADD', prefix .. 'phase:' .. phase, int(now_ms), key)
    count_phase(import, record.phase, phase)
  end
  turn_stage(key, record.lane, import, turned)
  local was_or_is_active = phase == 'active' or record.phase == 'active'
  local by_another_policy = was_or_is_active and schedule(key, phase, step, scheduled)
  if reminders ~= '-' then
    by_another_policy = by_another_policy or reminders ~= (redis.call('HGET', prefix .. 'reminders', 'version') or '0')
  end
  for _, act in ipairs(cjson.decode(applied)) do redis.call('LREM', prefix .. 'acts:' .. key, 1, act) end
  if customer_id ~= '' then redis.call('HSET', prefix .. 'customer', customer_id, key) end
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
  local at, at_once = nil, asked
  if new and not asked then at, at_once = news_at(key, new) end
  local nudge = (delay_ms == '0' and not new) or at_once
  if delay_ms == '' and not new and not asked then
    redis.call('ZREM', due_of(place), key)
    return {'committed', version, false, 0, now_ms, step}
  end
  local due = nudge and now_ms + NUDGE_MS or at or now_ms + delay_ms
  if at and delay_ms ~= '' and delay_ms ~= '0' then due = math.min(due, now_ms + delay_ms) end
  if by_another_policy then due = math.min(due, now_ms + RULE_MS) end
  redis.call('ZADD', due_of(place), int(due), key)
  return {'committed', version, int(due), nudge and 1 or 0, now_ms, step}
end
