-- Jobs that came as messages and were refused.
-- needs: base

-- refuse id json kept_ms at_most: note a refusal once; those that are older than kept_ms go, and the oldest of too many
function operations.refuse(id, json, kept_ms, at_most)
  local index, jobs = prefix .. 'refused', prefix .. 'refused_jobs'
  redis.call('ZADD', index, 'NX', int(now_ms), id)
  redis.call('HSET', jobs, id, json)
  local gone = redis.call('ZRANGEBYSCORE', index, '-inf', int(now_ms - kept_ms))
  for _, old in ipairs(redis.call('ZRANGE', index, 0, -at_most - 1)) do gone[#gone + 1] = old end
  for _, old in ipairs(gone) do
    redis.call('ZREM', index, old)
    redis.call('HDEL', jobs, old)
  end
end
