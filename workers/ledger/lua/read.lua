-- One record as it is: read.
-- needs: base details

-- read key -> raw due acts claimed now revocations abandoned, or nothing
-- abandoned: when the first of the claims that ended without a commit began, where the last of them did; false: it did not
function operations.read(key)
  local record = load(key)
  if not record then return false end
  local claim = claim_of(key)
  local claimed = claim and claim.ends > now
  return {
    record.raw, redis.call('ZSCORE', due_of(record.place), key), redis.call('LLEN', prefix .. 'acts:' .. key),
    claimed and 1 or 0, now_ms, (revocations(key)), claim and not claimed and claim.since or false,
  }
end
