-- The ledger: every change of an onboarding's record is one call of this script.
--
--   KEYS[1]  prefix of all keys, "onboarding:"
--   ARGV[1]  operation: create, join, claim, renew, commit, wake, act, take, read, close, sweep, swept
--   ARGV[2]  milliseconds added to the server's clock; 0 but in tests that turn the clock
--   ARGV[3+] arguments of the operation, see there
--
-- Keys (all without expiry unless said), with <key> an idempotency key:
--   record:<key>    string  "<format> <version> <token> <lane> <phase> <step> <created> <since> <updated>\n<json>";
--                           times in ms; the JSON is written by workers and opaque here
--   input:<key>     hash    part -> ciphertext of what was submitted; expires some time after it is no longer needed
--   history:<key>   list    one JSON object for each commit, oldest first, chained by digest
--   acts:<key>      list    what people did and no commit has applied yet, oldest first
--   evidence:<key>  list    encrypted records of consent
--   due:<lane>      zset    key -> ms when it is looked at next; the one truth about due times
--   claims          hash    key -> "<fence> <until> <since> <crashes> <woken> <lane>": the claim in hand, or one that ended without
--                           a commit (until is over): then its calls are in doubt since <since>
--   phase:<phase>   zset    key -> ms since when it is in this phase; its size is the phase's counter
--   external        hash    external id -> key
--   customer        hash    Iron's customer id -> key
--   unclaimed:<id>  string  a wake for a customer id that no record knows yet; expires
--   sub_partners    set     sub-partners that any record has
--   sweep           hash    the sweep under way and the last one: token, until, started, place, and counts
--   pace:<class>    string  ms (with fraction) at which this class of Iron's budget is free again
--   pace:closed     string  ms until which Iron wants no call at all (429); expires
--
-- Idempotent under replay: redis-py repeats a call whose answer was lost. Each writing operation carries a token (its
-- fence, or one drawn for the call) and gives the same answer when it finds its own token already there.
-- The keys share no hash slot, so this is not for Redis Cluster; one server with replicas is.

local prefix = KEYS[1]
local operation = ARGV[1]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000 + ARGV[2]
local now_ms = math.floor(now)

-- A nudge that nobody claimed within this many ms is sent again by the pulse.
local NUDGE_MS = 5000
-- A record of a newer release is left alone for this many ms.
local NEWER_MS = 30000
-- How long a wake for an unknown customer is kept, in ms: longer than any commit of ours takes.
local UNCLAIMED_MS = 600000

local function int(number)
  return string.format('%.0f', number)
end

local function due_of(lane)
  return prefix .. 'due:' .. lane
end

local function load(key)
  local raw = redis.call('GET', prefix .. 'record:' .. key)
  if not raw then return nil end
  local format, version, token, lane, phase, step, created, since, updated =
    string.match(raw, '^(%d+) (%d+) (%S+) (%S+) (%S+) (%S+) (%d+) (%d+) (%d+)\n')
  return {
    raw = raw, format = tonumber(format), version = tonumber(version), token = token, lane = lane, phase = phase,
    step = step, created = created, since = since, updated = updated,
  }
end

local function save(key, format, version, token, lane, phase, step, created, since, json)
  local header = table.concat({format, version, token, lane, phase, step, created, since, int(now_ms)}, ' ')
  redis.call('SET', prefix .. 'record:' .. key, header .. '\n' .. json)
end

local function claim_of(key)
  local raw = redis.call('HGET', prefix .. 'claims', key)
  if not raw then return nil end
  local fence, ends, since, crashes, woken, lane = string.match(raw, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%S+)$')
  return {
    fence = fence, ends = tonumber(ends), since = since, crashes = tonumber(crashes), woken = woken, lane = lane,
  }
end

local function put_claim(key, claim)
  local raw = table.concat({claim.fence, int(claim.ends), claim.since, claim.crashes, claim.woken, claim.lane}, ' ')
  redis.call('HSET', prefix .. 'claims', key, raw)
  redis.call('ZADD', due_of(claim.lane), int(claim.ends), key)
end

local function set_due(record, key, at)
  redis.call('ZADD', due_of(record.lane), int(at), key)
end

-- Take n slots of each class from the budget. Answers the ms to wait before the calls, or -1 and the ms to come back in.
local function pace(classes, horizon_ms)
  local closed = tonumber(redis.call('GET', prefix .. 'pace:closed') or 0)
  if closed > now then return -1, closed - now end
  local wait = 0
  for _, class in ipairs(classes) do
    class.free = math.max(tonumber(redis.call('GET', prefix .. 'pace:' .. class.name) or 0), now)
    wait = math.max(wait, class.free - now)
  end
  if wait > horizon_ms then return -1, wait end
  for _, class in ipairs(classes) do
    local free = class.free + class.n * class.interval_ms
    redis.call('SET', prefix .. 'pace:' .. class.name, string.format('%.3f', free), 'PX', int(free - now + 1000))
  end
  return math.ceil(wait)
end

local operations = {}

local function keep_parts(key, parts)
  for i = 1, #parts, 2 do
    if parts[i + 1] == '' then
      redis.call('HDEL', prefix .. 'input:' .. key, parts[i])
    else
      redis.call('HSET', prefix .. 'input:' .. key, parts[i], parts[i + 1])
    end
  end
end

-- create key token external_id customer_id sub_partner_id lane step phase format json history (part sealed)*
-- -> created version | exists raw due | external_id_taken other_key
function operations.create(key, token, external_id, customer_id, sub_partner, lane, step, phase, format, json, history, ...)
  local record = load(key)
  if record then
    if record.token == token then return {'created', record.version, now_ms} end
    return {'exists', record.raw, redis.call('ZSCORE', due_of(record.lane), key), now_ms}
  end
  local other = redis.call('HGET', prefix .. 'external', external_id)
  if other then return {'external_id_taken', other, now_ms} end
  save(key, format, 1, token, lane, phase, step, int(now_ms), int(now_ms), json)
  keep_parts(key, {...})
  redis.call('HSET', prefix .. 'external', external_id, key)
  if customer_id ~= '' then redis.call('HSET', prefix .. 'customer', customer_id, key) end
  if sub_partner ~= '' then redis.call('SADD', prefix .. 'sub_partners', sub_partner) end
  redis.call('ZADD', prefix .. 'phase:' .. phase, int(now_ms), key)
  redis.call('RPUSH', prefix .. 'history:' .. key, history)
  -- An interactive job's first nudge comes from whoever submits it; a bulk job waits for the pulse.
  redis.call('ZADD', due_of(lane), int(lane == 'interactive' and now_ms + NUDGE_MS or now_ms), key)
  return {'created', 1, now_ms}
end

-- join old_key version token key lane step format json history external_id customer_id ttl_ms (part sealed)*
-- A job takes over the record that was found on Iron without one, under the job's key; due at once, for a refresh.
-- -> joined version | again: the record is in hand or has changed since it was read
function operations.join(old_key, version, token, key, lane, step, format, json, history, external_id, customer_id, ttl_ms, ...)
  local done = load(key)
  if done and done.token == token then return {'joined', done.version, now_ms} end
  local record, claim = load(old_key), claim_of(old_key)
  if not record or record.version ~= tonumber(version) or (claim and claim.ends > now) or (key ~= old_key and done) then
    return {'again'}
  end
  redis.call('HDEL', prefix .. 'claims', old_key)
  redis.call('ZREM', due_of(record.lane), old_key)
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
  end
  save(key, format, record.version + 1, token, lane, record.phase, step, record.created, record.since, json)
  keep_parts(key, {...})
  if ttl_ms ~= '' then redis.call('PEXPIRE', prefix .. 'input:' .. key, ttl_ms) end
  redis.call('HSET', prefix .. 'external', external_id, key)
  redis.call('HSET', prefix .. 'customer', customer_id, key)
  redis.call('RPUSH', prefix .. 'history:' .. key, history)
  redis.call('ZADD', due_of(lane), int(now_ms), key)
  return {'joined', record.version + 1, now_ms}
end

-- claim key version step token lease_ms format part horizon_ms (class n interval_ms)*
-- -> claimed raw fence now crashes since wait_ms input acts | gone | newer | leased | superseded | paced ms
function operations.claim(key, version, step, token, lease_ms, format, part, horizon_ms, ...)
  local record = load(key)
  if not record then return {'gone'} end
  local claim = claim_of(key)
  local fence = version .. '-' .. token
  local wait = 0
  if not (claim and claim.fence == fence) then
    if record.format > tonumber(format) then
      set_due(record, key, now_ms + NEWER_MS)
      return {'newer'}
    end
    if record.version ~= tonumber(version) or record.step ~= step then return {'superseded'} end
    if claim and claim.ends > now then return {'leased'} end
    local classes, given = {}, {...}
    for i = 1, #given, 3 do
      classes[#classes + 1] = {name = given[i], n = tonumber(given[i + 1]), interval_ms = tonumber(given[i + 2])}
    end
    local back
    wait, back = pace(classes, tonumber(horizon_ms))
    if wait < 0 then
      set_due(record, key, now_ms + back)
      return {'paced', math.ceil(back)}
    end
    put_claim(key, {
      fence = fence, ends = now_ms + lease_ms, since = claim and claim.since or int(now_ms),
      crashes = claim and claim.crashes + 1 or 0, woken = 0, lane = record.lane,
    })
    claim = claim_of(key)
  end
  local input = part ~= '' and redis.call('HGET', prefix .. 'input:' .. key, part)
  local acts = redis.call('LRANGE', prefix .. 'acts:' .. key, 0, -1)
  return {'claimed', record.raw, fence, now_ms, claim.crashes, claim.since, wait, input, acts}
end

-- renew lease_ms (key fence)* -> for each pair 1 while the claim holds, else 0
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
  return held
end

-- commit key fence lane step phase format json history delay_ms applied customer_id external_id input_ttl_ms (part sealed)*
-- applied: JSON list of acts. delay_ms "": nothing is due any more; 0: the caller sends the next nudge now. sealed "": the part is dropped
-- -> committed version due nudge now | stale
function operations.commit(key, fence, lane, step, phase, format, json, history, delay_ms, applied, customer_id, external_id, ttl_ms, ...)
  local record = load(key)
  if record and record.token == fence then
    local due = redis.call('ZSCORE', due_of(record.lane), key)
    return {'committed', record.version, due, delay_ms == '0' and 1 or 0, now_ms}
  end
  local claim = claim_of(key)
  if not record or not claim or claim.fence ~= fence then return {'stale'} end

  local version = record.version + 1
  local since = phase == record.phase and record.since or int(now_ms)
  save(key, format, version, fence, lane, phase, step, record.created, since, json)
  redis.call('HDEL', prefix .. 'claims', key)
  redis.call('RPUSH', prefix .. 'history:' .. key, history)
  if phase ~= record.phase then
    redis.call('ZREM', prefix .. 'phase:' .. record.phase, key)
    redis.call('ZADD', prefix .. 'phase:' .. phase, int(now_ms), key)
  end
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

  if lane ~= record.lane then redis.call('ZREM', due_of(record.lane), key) end
  local nudge = delay_ms == '0' or woken
  if delay_ms == '' and not nudge then
    redis.call('ZREM', due_of(lane), key)
    return {'committed', version, false, 0, now_ms}
  end
  local due = now_ms + (nudge and NUDGE_MS or delay_ms)
  redis.call('ZADD', due_of(lane), int(due), key)
  return {'committed', version, int(due), nudge and 1 or 0, now_ms}
end

-- Make a record due now, unless a claim is in hand: then its commit does. -> nudge lane step version | later
local function wake(key, record)
  local claim = claim_of(key)
  if claim and claim.ends > now then
    claim.woken = 1
    put_claim(key, claim)
    return {'later'}
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

-- act key act evidence -> nudge lane step version key | later | gone. `act` carries an id of its own; the same act is stored once.
function operations.act(key, act, evidence)
  local record = load(key)
  if not record then return {'gone'} end
  local acts = prefix .. 'acts:' .. key
  if not redis.call('LPOS', acts, act) then
    redis.call('RPUSH', acts, act)
    if evidence ~= '' then redis.call('RPUSH', prefix .. 'evidence:' .. key, evidence) end
  end
  return wake(key, record)
end

-- take (lane limit)* -> (lane key step version)* of what is due, each now due again after NUDGE_MS
function operations.take(...)
  local given, taken = {...}, {}
  for i = 1, #given, 2 do
    local due = due_of(given[i])
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now_ms, 'LIMIT', 0, given[i + 1])) do
      local record = load(key)
      if record and record.lane == given[i] then
        redis.call('ZADD', due, int(now_ms + NUDGE_MS), key)
        taken[#taken + 1] = record.lane
        taken[#taken + 1] = key
        taken[#taken + 1] = record.step
        taken[#taken + 1] = record.version
      else
        redis.call('ZREM', due, key)
      end
    end
  end
  return taken
end

-- read key -> raw due acts claimed now, or nothing
function operations.read(key)
  local record = load(key)
  if not record then return false end
  local claim = claim_of(key)
  local due = redis.call('ZSCORE', due_of(record.lane), key)
  return {record.raw, due, redis.call('LLEN', prefix .. 'acts:' .. key), claim and claim.ends > now and 1 or 0, now_ms}
end

-- close ms -> 1. No call to Iron for so long, for the whole fleet.
function operations.close(pause_ms)
  local ends = now_ms + pause_ms
  if tonumber(redis.call('GET', prefix .. 'pace:closed') or 0) < ends then
    redis.call('SET', prefix .. 'pace:closed', int(ends), 'PX', int(math.max(pause_ms, 1)))
  end
  return 1
end

-- sweep token lease_ms interval_ms (class n interval_ms)* -> place: the next page to read | wait ms
-- One sweep at a time in the fleet, one page at a time; whoever holds it renews its lease with each page.
function operations.sweep(token, lease_ms, interval_ms, ...)
  local state = prefix .. 'sweep'
  local holder, ends, started, place = unpack(redis.call('HMGET', state, 'token', 'until', 'started', 'place'))
  if holder and holder ~= token and tonumber(ends) > now then return {'wait', int(tonumber(ends) - now)} end
  if not place then
    local again = tonumber(started or '0') + interval_ms - now
    if again > 0 then return {'wait', int(again)} end
  end
  local classes, given = {}, {...}
  for i = 1, #given, 3 do
    classes[#classes + 1] = {name = given[i], n = tonumber(given[i + 1]), interval_ms = tonumber(given[i + 2])}
  end
  local wait, back = pace(classes, 0)
  if wait < 0 then return {'wait', int(back)} end
  if not place then
    place = ''
    redis.call('HSET', state, 'started', int(now_ms), 'place', place, 'read', 0, 'differ', 0, 'unknown', 0)
  end
  redis.call('HSET', state, 'token', token, 'until', int(now_ms + lease_ms))
  return {'place', place}
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

return operations[operation](unpack(ARGV, 3))
