-- Policies that people put in force, by kind (reidentification, reminders, limits), and the moving of due times to a new
-- one. Keys: a hash and a list <kind>_log of each kind, see base.lua.
-- needs: base

-- policy kind token version json -> the version now in force, which is this one unless another was stored meanwhile
function operations.policy(kind, token, version, json)
  local rule = prefix .. kind
  local before, last = unpack(redis.call('HMGET', rule, 'version', 'token'))
  if last ~= token and version - 1 == tonumber(before or '0') then
    redis.call('HSET', rule, 'version', version, 'token', token, 'policy', json, 'moved', '-', 'count', 0)
    redis.call('HDEL', rule, 'mover', 'until')  -- whoever moves to the one before hears that it is over
    redis.call('RPUSH', rule .. '_log', json)
  end
  return tonumber(redis.call('HGET', rule, 'version'))
end

-- move kind token lease_ms version place count -> place: where to go on | wait | done | other: not the policy in force
-- One at a time moves the due times of those a new policy concerns. place: "" asks for it, "." all are through.
function operations.move(kind, token, lease_ms, version, place, count)
  local rule = prefix .. kind
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
