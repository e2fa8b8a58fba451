-- What happens outside of steps: wake, act, revoke.
-- needs: base details

-- Make a record due now, unless a claim is in hand: then its commit does. -> nudge lane step version | later
local function wake(key, record)
  local claim = claim_of(key)
  local later = claim and claim.ends > now
  if record.place == READ_AGAIN and not later then move_to(record.lane, key, record) end
  if claim then
    claim.woken = 1  -- also when its lease is over: until somebody else claims, a late commit is accepted
    if not later then claim.place = record.place end
    put_claim(key, claim)
    if later then return {'later'} end
  end
  set_due(record, key, now_ms + NUDGE_MS)
  return {'nudge', record.lane, record.step, record.version, key}
end

-- wake customer_id -> nudge lane step version key | later | unknown
function operations.wake(customer_id)
  local key = redis.call('HGET', prefix .. 'customer', customer_id)
  local record = key and load(key)
  if not record then
    redis.call('SET', prefix .. 'unclaimed:' .. customer_id, int(now_ms), 'PX', UNCLAIMED_MS)
    return {'unknown'}
  end
  return wake(key, record)
end

-- act key act evidence email -> nudge lane step version key | later | gone. `act` carries an id of its own; the same act is stored once.
-- email: digest of the address that a correction brings, "" for none
function operations.act(key, act, evidence, email)
  local record = load(key)
  if not record then return {'gone'} end
  remember_email(email, key)
  local acts = prefix .. 'acts:' .. key
  if not redis.call('LPOS', acts, act) then
    redis.call('RPUSH', acts, act)
    if evidence ~= '' then redis.call('RPUSH', prefix .. 'evidence:' .. key, evidence) end
  end
  return wake(key, record)
end

-- revoke key token act -> as wake | gone. No link to the record made so far is good any more; the act tells the history of it.
function operations.revoke(key, token, act)
  local record = load(key)
  if not record then return {'gone'} end
  local serial, last = revocations(key)
  if last ~= token then
    redis.call('HSET', prefix .. 'links', key, int(serial + 1) .. ' ' .. token)
    redis.call('RPUSH', prefix .. 'acts:' .. key, act)
  end
  return wake(key, record)
end
