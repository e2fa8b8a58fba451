-- The life of a record: create, join, claim, renew, commit, wake, act, revoke, take, read.

local function keep_parts(key, parts)
  for i = 1, #parts, 2 do
    if parts[i + 1] == '' then
      redis.call('HDEL', prefix .. 'input:' .. key, parts[i])
    else
      redis.call('HSET', prefix .. 'input:' .. key, parts[i], parts[i + 1])
    end
  end
end

-- Let a digest of an e-mail address lead to a record, beside those that have the same address, and instead of one that
-- is no more. digest "": there is none.
local function remember_email(digest, key, instead_of)
  if digest == '' then return end
  local keys = {key}
  for holder in string.gmatch(redis.call('HGET', prefix .. 'email', digest) or '', '[^\n]+') do
    if holder ~= key and holder ~= instead_of then keys[#keys + 1] = holder end
  end
  redis.call('HSET', prefix .. 'email', digest, table.concat(keys, '\n'))
end

-- How often the customer's links to this record were revoked, and by which call last.
local function revocations(key)
  local serial, token = string.match(redis.call('HGET', prefix .. 'links', key) or '0 ', '^(%d+) (.*)$')
  return tonumber(serial), token
end

-- Make a record, unless there is one or its external id is taken; due now, or after a nudge under way.
-- new: key, token, external_id, customer_id, sub_partner, email (digest of the address, "" for none), place, step, phase,
--   format, json, history, told, import, parts, due
-- -> {created, version, created, due} | {exists, raw, due, link_serial} | {external_id_taken, other_key}
local function create(new)
  local key, record = new.key, load(new.key)
  if record then
    local due = redis.call('ZSCORE', due_of(record.place), key)
    if record.token == new.token then return {'created', record.version, tonumber(record.created), due} end
    return {'exists', record.raw, due, (revocations(key))}
  end
  local other = redis.call('HGET', prefix .. 'external', new.external_id)
  if other then return {'external_id_taken', other} end
  save(key, new.format, 1, new.token, new.place, new.phase, new.step, int(now_ms), int(now_ms), new.json)
  keep_parts(key, new.parts)
  redis.call('HSET', prefix .. 'external', new.external_id, key)
  remember_email(new.email, key)
  if new.customer_id ~= '' then redis.call('HSET', prefix .. 'customer', new.customer_id, key) end
  if new.sub_partner ~= '' then redis.call('SADD', prefix .. 'sub_partners', new.sub_partner) end
  redis.call('ZADD', prefix .. 'phase:' .. new.phase, int(now_ms), key)
  redis.call('RPUSH', prefix .. 'history:' .. key, new.history)
  tell(key, new.phase, 1, new.told)
  redis.call('ZADD', due_of(new.place), int(new.due), key)
  enlist(new.import, key, new.phase)
  return {'created', 1, now_ms, int(new.due)}
end

-- The parts of a new record's input that there are, as keep_parts takes them; "" where there is none.
local function parts_of(customer, identification)
  local parts = {}
  if customer ~= '' then parts = {'customer', customer} end
  if identification ~= '' then parts[#parts + 1], parts[#parts + 2] = 'identification', identification end
  return parts
end

-- A new record: key, token, external_id, customer_id, sub_partner_id, lane, step, phase, told, email, json, history, and
-- the sealed parts customer and identification of its input, "" where there is none; each as its length, four bytes, and
-- itself. told: what upstream is told, see tell in events.lua
local NEW = '<' .. string.rep('I4c0', 14)

-- create at_ms tolerance_ms format rows
-- at_ms: the time that the histories tell; nothing is written when it is further from now than the tolerance.
-- -> now, and for each row: created version created due | exists raw due link_serial | external_id_taken other_key
function operations.create(at_ms, tolerance_ms, format, rows)
  local answers, at = {now_ms}, 1
  if math.abs(now_ms - at_ms) > tonumber(tolerance_ms) then return answers end
  while at <= #rows do
    local key, token, external_id, customer_id, sub_partner, lane, step, phase, told, email, json, history, customer, identification
    key, token, external_id, customer_id, sub_partner, lane, step, phase, told, email, json, history, customer, identification, at =
      struct.unpack(NEW, rows, at)
    answers[#answers + 1] = create({
      key = key, token = token, external_id = external_id, customer_id = customer_id, sub_partner = sub_partner,
      email = email, place = lane, step = step, phase = phase, format = format, json = json, history = history,
      told = told, import = '', parts = parts_of(customer, identification),
      -- An interactive job's first nudge comes from whoever submits it; a bulk job waits for the pulse.
      due = lane == 'interactive' and now_ms + NUDGE_MS or now_ms,
    })
  end
  return answers
end

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

-- claim key version step token lease_ms format part secured
-- secured: the class of Iron's budget that the step must be sure of beside its first call, or ""
-- -> claimed raw fence now crashes since input acts rule call_ms secured_ms probe | gone | newer | leased | superseded | halted
--    | paced ms | paused
-- A claim that is repeated, or only to apply an act, brings no slot with it: its calls ask for theirs.
function operations.claim(key, version, step, token, lease_ms, format, part, secured)
  local record = load(key)
  if not record then return {'gone'} end
  local claim = claim_of(key)
  local fence = version .. '-' .. token
  local acts = redis.call('LRANGE', prefix .. 'acts:' .. key, 0, -1)
  local call_ms, secured_ms, probe = nil, nil, nil
  if not (claim and claim.fence == fence) then
    if record.format > tonumber(format) then
      set_due(record, key, now_ms + NEWER_MS)
      return {'newer'}
    end
    if record.version ~= tonumber(version) or record.step ~= step then return {'superseded'} end
    if claim and claim.ends > now then return {'leased'} end
    if halted(record) then return {'halted'} end
    if #acts == 0 then
      local admitted, first, second, third = admit(record.lane, fence, secured)
      if not admitted then
        if first == 'paused' then return {'paused'} end
        set_due(record, key, now_ms + second)
        return {'paced', math.ceil(second)}
      end
      call_ms, secured_ms, probe = first, second, third
    end
    begin(key, record)
    put_claim(key, {
      fence = fence, ends = now_ms + lease_ms, since = claim and claim.since or int(now_ms),
      crashes = claim and claim.crashes + 1 or 0, woken = 0, place = record.place,
    })
    claim = claim_of(key)
  end
  local input = part ~= '' and redis.call('HGET', prefix .. 'input:' .. key, part)
  local rule = redis.call('HGET', prefix .. 'reidentification', 'version') or '0'
  return {
    'claimed', record.raw, fence, now_ms, claim.crashes, claim.since, input, acts, rule,
    call_ms or false, secured_ms or false, probe and 1 or 0,
  }
end

-- renew lease_ms (key fence)* -> for each pair 1 while the claim holds, else 0; and now
function operations.renew(lease_ms, ...)
  local given, held = {...}, {}
  for i = 1, #given, 2 do
    local claim = claim_of(given[i])
    if claim and claim.fence == given[i + 1] then
      claim.ends = now_ms + lease_ms
      put_claim(given[i], claim)
      held[#held + 1] = 1
    else
      held[#held + 1] = 0
    end
  end
  held[#held + 1] = now_ms
  return held
end

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

-- Make a record due now, unless a claim is in hand: then its commit does. -> nudge lane step version | later
local function wake(key, record)
  local claim = claim_of(key)
  if claim then
    claim.woken = 1  -- also when its lease is over: until somebody else claims, a late commit is accepted
    put_claim(key, claim)
    if claim.ends > now then return {'later'} end
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

-- Keys that one take looks at in a lane: those that must wait for a class of their own cost a look and no nudge.
local MOST_LOOKS = 256

-- take secures (lane limit)* -> ms until a lane has room for more ("" where none is short of it), (lane key step version)*
-- of what is due, each now due again after NUDGE_MS. secures: JSON, step -> class that it must be sure of.
-- HOW MANY are taken from a lane is the budget's affair (`room` in pace.lua), WHICH ones that of `pick` in imports.lua.
function operations.take(secures, ...)
  local given, taken, classes, again = {...}, {''}, cjson.decode(secures), nil
  for i = 1, #given, 2 do
    local lane, nudged, looks = given[i], 0, 0
    local left, wait, calls = room(lane, tonumber(given[i + 1]))
    if wait then again = math.min(again or wait, wait) end
    local picked = pick(lane, left)
    while #picked > 0 do
      for _, next in ipairs(picked) do
        local place, key = next[1], next[2]
        local record = load(key)
        local class = record and classes[record.step]
        local there, back = true, nil
        if class then there, back = secure(class, lane) end
        if not record or record.place ~= place then
          redis.call('ZREM', due_of(place), key)
        elseif there then
          redis.call('ZADD', due_of(place), int(now_ms + NUDGE_MS), key)
          for _, field in ipairs({lane, key, record.step, record.version}) do taken[#taken + 1] = field end
          nudged = nudged + 1
          served(lane, place)
        else
          redis.call('ZADD', due_of(place), int(now_ms + back), key)
        end
      end
      looks = looks + #picked
      picked = (nudged < left and looks < MOST_LOOKS) and pick(lane, left - nudged) or {}
    end
    if nudged > 0 then offer(calls, nudged) end
  end
  taken[1] = again and math.ceil(again) or ''
  return taken
end

-- read key -> raw due acts claimed now revocations, or nothing
function operations.read(key)
  local record = load(key)
  if not record then return false end
  local claim = claim_of(key)
  local due = redis.call('ZSCORE', due_of(record.place), key)
  return {record.raw, due, redis.call('LLEN', prefix .. 'acts:' .. key), claim and claim.ends > now and 1 or 0, now_ms, (revocations(key))}
end
