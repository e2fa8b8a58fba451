-- The sweep's place in Iron's list of customers. Key: sweep, see base.lua.
-- needs: base pace

-- sweep token lease_ms interval_ms -> place: the next page to read, and the ms until its call may leave | wait ms
-- One sweep at a time in the fleet, one page at a time; whoever holds it renews its lease with each page.
function operations.sweep(token, lease_ms, interval_ms)
  local state = prefix .. 'sweep'
  local holder, ends, started, place = unpack(redis.call('HMGET', state, 'token', 'until', 'started', 'place'))
  if holder and holder ~= token and tonumber(ends) > now then return {'wait', int(tonumber(ends) - now)} end
  if not place then
    local again = tonumber(started or '0') + interval_ms - now
    if again > 0 then return {'wait', int(again)} end
  end
  local slot, back = admit_page()
  if not slot then return {'wait', int(back)} end
  if not place then
    place = ''
    redis.call('HSET', state, 'started', int(now_ms), 'place', place, 'read', 0, 'differ', 0, 'unknown', 0)
  end
  redis.call('HSET', state, 'token', token, 'until', int(now_ms + lease_ms))
  return {'place', place, math.floor(slot)}
end

-- swept token place read differ unknown -> 1 while the sweep is still this holder's. place "-": that was the last page.
function operations.swept(token, place, read, differ, unknown)
  local state = prefix .. 'sweep'
  if redis.call('HGET', state, 'token') ~= token then return 0 end
  redis.call('HINCRBY', state, 'read', read)
  redis.call('HINCRBY', state, 'differ', differ)
  redis.call('HINCRBY', state, 'unknown', unknown)
  if place ~= '-' then
    redis.call('HSET', state, 'place', place)
    return 1
  end
  redis.call('HDEL', state, 'place', 'token', 'until')
  redis.call('HSET', state, 'finished', int(now_ms))
  for _, count in ipairs({'read', 'differ', 'unknown'}) do
    redis.call('HSET', state, 'last_' .. count, redis.call('HGET', state, count))
  end
  return 1
end
