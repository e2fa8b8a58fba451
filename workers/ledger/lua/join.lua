-- A job takes over a record that was found on Iron without one: join.
-- needs: base details events ages imports schedule

-- join old_key version token key lane step format json history told external_id customer_id email ttl_ms import (part sealed)*
-- A job takes over the record that was found on Iron without one, under the job's key; due at once, for a refresh.
-- -> joined version now link_serial | again: the record is in hand or has changed since it was read
function operations.join(old_key, version, token, key, lane, step, format, json, history, told, external_id, customer_id, email, ttl_ms, import, ...)
  local done = load(key)
  if done and done.token == token then return {'joined', done.version, now_ms, (revocations(key))} end
  local record, claim = load(old_key), claim_of(old_key)
  if not record or record.version ~= tonumber(version) or (claim and claim.ends > now) or (key ~= old_key and done) then
    return {'again'}
  end
  redis.call('HDEL', prefix .. 'claims', old_key)
  redis.call('ZREM', due_of(record.place), old_key)
  if key ~= old_key then
    redis.call('DEL', prefix .. 'input:' .. old_key)  -- sealed for the old key; the job brings its own
    for _, kind in ipairs({'history:', 'acts:', 'evidence:'}) do
      if redis.call('EXISTS', prefix .. kind .. old_key) == 1 then
        redis.call('RENAME', prefix .. kind .. old_key, prefix .. kind .. key)
      end
    end
    redis.call('DEL', prefix .. 'record:' .. old_key)
    redis.call('ZREM', prefix .. 'phase:' .. record.phase, old_key)
    redis.call('ZADD', prefix .. 'phase:' .. record.phase, record.since, key)
    local links = redis.call('HGET', prefix .. 'links', old_key)
    if links then
      redis.call('HSET', prefix .. 'links', key, links)
      redis.call('HDEL', prefix .. 'links', old_key)
    end
    reschedule_as(old_key, key)
    restage_as(old_key, key, record.phase)
  end
  save(key, format, record.version + 1, token, lane, record.phase, step, record.created, record.since, json)
  keep_parts(key, {...})
  if ttl_ms ~= '' then redis.call('PEXPIRE', prefix .. 'input:' .. key, ttl_ms) end
  redis.call('HSET', prefix .. 'external', external_id, key)
  redis.call('HSET', prefix .. 'customer', customer_id, key)
  remember_email(email, key, old_key)
  redis.call('RPUSH', prefix .. 'history:' .. key, history)
  tell(key, record.phase, record.version + 1, told)
  redis.call('ZADD', due_of(lane), int(now_ms), key)
  enlist(import, key, record.phase)
  return {'joined', record.version + 1, now_ms, (revocations(key))}
end
