-- What a webhook says, and whether it is news: a hint that tells what the record shows already wakes nobody.
-- needs: base

-- A hint is a line "<kind> <id> <status> <phases>": what a customer's or an identification's status is said to be, and the
-- phases, with commas, to which it leads. "!" is a reason to read the customer at once, whatever the record shows.

-- A customer is read at most once in this many ms because of webhooks; the first of them is not held up.
local NEWS_EVERY_MS = 1000
-- How long it is kept when that was, in ms: longer than the clock of a test may stand still.
local HEARD_MS = 60000
-- What may lead to the phase that the record is in is read after this many ms: what follows it comes within that time.
local EXPECTED_MS = 3000
-- Hints kept for one commit, in characters; more of them than fit are a reason to read the customer.
local HINTS_MOST = 2000

-- How new a hint is to a record in this phase with this JSON: 'now', 'soon' or nil.
local function news(phase, json, hint)
  local kind, id, status, phases = string.match(hint, '^(%S+) (%S+) (%S+) (%S+)$')
  if not kind or kind == 'unclear' then return 'now' end
  if kind == 'created' then return nil end
  local shown = cjson.decode(json)
  if kind == 'customer' then
    return shown.customer_status ~= status and 'now' or nil
  end
  if shown.identification_id ~= id then return 'now' end
  if shown.identification_status == status or phases == phase then return nil end
  return string.find(',' .. phases .. ',', ',' .. phase .. ',', 1, true) and 'soon' or 'now'
end

-- The same of several hints, a line each: the most urgent.
local function newest(phase, json, hints)
  local found = nil
  for hint in string.gmatch(hints, '[^\n]+') do
    local new = news(phase, json, hint)
    if new == 'now' then return new end
    found = found or new
  end
  return found
end

-- When a record is read because of news, in ms; and whether that is now.
local function news_at(key, new)
  if new == 'soon' then return now_ms + EXPECTED_MS, false end
  local heard = prefix .. 'heard:' .. key
  local last = tonumber(redis.call('GET', heard) or 0)
  if math.abs(now_ms - last) < NEWS_EVERY_MS then return last + NEWS_EVERY_MS, false end
  redis.call('SET', heard, int(now_ms), 'PX', HEARD_MS)
  return now_ms, true
end

-- Keep a hint until the commit that it waits for.
local function keep_hint(where, hint)
  local kept = redis.call('GET', where)
  kept = kept and kept .. '\n' .. hint or hint
  redis.call('SET', where, #kept > HINTS_MOST and '!' or kept, 'PX', UNCLAIMED_MS)
end
