-- New records: create.
-- needs: base details events ages imports

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
  begin_stage(key, new.phase .. ' ' .. (string.match(new.told, '^%S+') or 'us'), int(now_ms))
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
