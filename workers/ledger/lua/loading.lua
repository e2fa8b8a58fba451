-- The rows of imports: made records of many in one call, and cancelled many in one call. Keys: see base.lua.
-- needs: create

-- A row: key, external_id, sub_partner_id, email, lane, json, and the sealed parts customer and identification of its input,
-- "" where there is none; each as its length, four bytes, and itself. One argument for many rows costs both ends far less.
local ROW = '<' .. string.rep('I4c0', 8)

-- load name token counts format step phase told history rows
-- counts: of the rows before these. token: of the call; with its number each row has one of its own.
-- -> cancelled, or for each row that was not made its number, from 1, and what `create` answers
function operations.load(name, token, counts, format, step, phase, told, history, rows)
  if redis.call('HEXISTS', import_key(name), 'cancelled') == 1 then return 'cancelled' end
  local answers, number, at = {}, 0, 1
  while at <= #rows do
    local key, external_id, sub_partner, email, lane, json, customer, identification
    key, external_id, sub_partner, email, lane, json, customer, identification, at = struct.unpack(ROW, rows, at)
    number = number + 1
    local answer = create({
      key = key, token = token .. '.' .. number, external_id = external_id, customer_id = '', sub_partner = sub_partner,
      email = email, place = lane == 'bulk' and 'bulk/' .. name or lane, step = step, phase = phase, format = format, json = json,
      history = history, told = told, import = name, parts = parts_of(customer, identification),
      due = now_ms,
    })
    if answer[1] ~= 'created' then answers[#answers + 1] = {number, answer} end
  end
  note_counts(name, counts)
  turn(name)
  return answers
end

-- drop name token format ttl_ms (key version json history told act)* -> how many of these wait no more
-- Cancels rows that nobody has taken in hand. One on which somebody did something meanwhile is taken up to apply that,
-- and then `act`, which cancels it.
function operations.drop(name, token, format, ttl_ms, ...)
  local given, gone = {...}, 0
  for i = 1, #given, 6 do
    local key, version, json, history, told, act = unpack(given, i, i + 5)
    local record = load(key)
    local done = record and (record.token == token or redis.call('LPOS', prefix .. 'acts:' .. key, act))
    local waits = record and import_at(record.place) == name and record.version == tonumber(version)
    if waits and redis.call('EXISTS', prefix .. 'acts:' .. key) == 1 then
      redis.call('RPUSH', prefix .. 'acts:' .. key, act)
      begin(key, record)
      set_due(record, key, now_ms)
    elseif waits then
      save(key, format, record.version + 1, token, 'bulk', 'cancelled', record.step, record.created, int(now_ms), json)
      redis.call('ZREM', due_of(record.place), key)
      redis.call('RPUSH', prefix .. 'history:' .. key, history)
      redis.call('ZREM', prefix .. 'phase:' .. record.phase, key)
      redis.call('ZADD', prefix .. 'phase:cancelled', int(now_ms), key)
      redis.call('PEXPIRE', prefix .. 'input:' .. key, ttl_ms)
      tell(key, 'cancelled', record.version + 1, told)
      forget_stage(key, record.phase .. ' us')
      count_phase(name, record.phase, 'cancelled')
    end
    gone = gone + ((done or waits) and 1 or 0)
  end
  turn(name)
  return gone
end
