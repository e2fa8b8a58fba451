-- One record as it is: read.
-- needs: base details

-- read key -> raw due acts claimed now revocations, or nothing
function operations.read(key)
  local record = load(key)
  if not record then return false end
  local claim = claim_of(key)
  local due = redis.call('ZSCORE', due_of(record.place), key)
  return {record.raw, due, redis.call('LLEN', prefix .. 'acts:' .. key), claim and claim.ends > now and 1 or 0, now_ms, (revocations(key))}
end
