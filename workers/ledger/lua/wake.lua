-- What happens outside of steps: wake, act, revoke.
-- needs: base details news

-- Make a record due now, unless a claim is in hand: then its commit does. -> nudge lane step version | later
local function wake(key, record)
  local claim = claim_of(key)
  local later = claim and claim.ends > now
  if record.place == READ_AGAIN and not later then move_to(record.lane, key, record) end
  if claim then
    mark(claim, 1)  -- also when its lease is over: until somebody else claims, a late commit is accepted
    if not later then claim.place = record.place end
    put_claim(key, claim)
    if later then return {'later'} end
  end
  set_due(record, key, now_ms + NUDGE_MS)
  return {'nudge', record.lane, record.step, record.version, key}
end

-- Let the customer be read before anything else is done with a record: what a person did is applied by any claim. A step that a lost claim may have made a call of
-- goes first: only that step knows what to look for.
local function read_first(key, record)
  if record.step == 'refresh' or claim_of(key) then return end
  record.step = 'refresh'
  record.raw = string.gsub(record.raw, '^(%d+ %d+ %S+ %S+ %S+) %S+', '%1 refresh', 1)
  redis.call('SET', prefix .. 'record:' .. key, record.raw)
end

-- Make a record due for what a hint says, if that is news. -> as wake | known: the record shows it already
local function hear(key, record, hint)
  local claim = claim_of(key)
  if claim and claim.ends > now then
    mark(claim, 2)
    put_claim(key, claim)
    keep_hint(prefix .. 'hints:' .. key, hint)
    return {'later'}
  end
  local new = news(record.phase, string.match(record.raw, '\n(.*)$'), hint)
  if not new then return {'known'} end
  local at, at_once = now_ms, true
  if hint ~= '!' then at, at_once = news_at(key, new) end
  read_first(key, record)
  if at_once or claim then return wake(key, record) end
  local due = tonumber(redis.call('ZSCORE', due_of(record.place), key))
  if record.place == READ_AGAIN then move_to(record.lane, key, record) end
  set_due(record, key, math.min(at, due or at))
  return {'later'}
end

-- wake customer_id hint -> nudge lane step version key | later | known | unknown. hint: see news.lua
function operations.wake(customer_id, hint)
  local key = redis.call('HGET', prefix .. 'customer', customer_id)
  local record = key and load(key)
  if not record then
    keep_hint(prefix .. 'unclaimed:' .. customer_id, hint)
    return {'unknown'}
  end
  return hear(key, record, hint)
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
