-- The auditor's eyes and hands: all about a key at one moment, and mends that look once more before they write.
--
--   KEYS[1]  prefix of all keys, "onboarding:"
--   ARGV[1]  operation: traffic, seen, orphans, pointers; due, undue, lanes, turn, phases, unmember, unpoint, point, unclaim,
--            input, drop_input, drop_rest, sub_partner, identified
--   ARGV[2]  milliseconds added to the server's clock; 0 but in tests that turn the clock
--   ARGV[3]  newest format of a record that the caller can judge
--   ARGV[4+] arguments of the operation, see there
--
-- The keys, their types and the form of a record and a claim are told at the head of base.lua. The first four
-- operations write nothing. A mend answers nothing: whoever asked for it looks again. It never writes a record, a history,
-- an act or evidence, and it writes only where what it was asked to mend is still so; sent twice it does no more than once.

local prefix = KEYS[1]

local clock = redis.call('TIME')
local now_ms = math.floor(clock[1] * 1000 + clock[2] / 1000 + ARGV[2])

local function int(number)
  return string.format('%.0f', number)
end

-- Read something that may be of another type than it should be: then it is as good as absent.
local function ask(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then return false end
  return answer
end

local function score(set, key)
  return ask('ZSCORE', prefix .. set, key)
end

local function due_of(lane)
  return prefix .. 'due:' .. lane
end

local function exists(key)
  return redis.call('EXISTS', prefix .. 'record:' .. key) == 1
end

-- The header of a record, or nil where there is none that the ledger could read.
local function header_in(raw)
  if not raw then return nil end
  local format, version, lane, phase, since, body =
    string.match(raw, '^(%d+) (%d+) %S+ (%S+) (%S+) %S+ %d+ (%d+) %d+\n(.*)$')
  return format and {
    format = tonumber(format), version = version, lane = lane, phase = phase, since = since, body = body,
  }
end

local function header_of(key)
  return header_in(ask('GET', prefix .. 'record:' .. key))
end

-- What steps decided, or nil where it cannot be read or judged.
local function body_of(raw)
  local header = header_in(raw)
  if not header or header.format > tonumber(ARGV[3]) then return nil end
  local read, body = pcall(cjson.decode, header.body)
  return read and type(body) == 'table' and body or nil
end

local function body_at(key)
  return body_of(ask('GET', prefix .. 'record:' .. key))
end

local function ends_of(claim)
  return claim and tonumber(string.match(claim, '^%S+ (%d+) %d+ %d+ %d+ %S+$'))
end

-- The earliest moment at which a record may be due: now, or when the claim in hand ends.
local function soonest(key)
  local ends = ends_of(ask('HGET', prefix .. 'claims', key))
  return math.max(now_ms, ends or 0)
end

local INDEXES = {external = 'external_id', customer = 'customer_id'}

-- Who has this id according to the index, whether that record is there, has the id itself, and was ever corrected.
local function holder_of(index, id)
  if type(id) ~= 'string' or id == '' then return false end
  local holder = ask('HGET', prefix .. index, id)
  if not holder then return {} end
  local body = body_at(holder)
  local same = body and body[INDEXES[index]] == id
  return {holder, exists(holder), same or false, body and tonumber(body.revision) or 0}
end

-- The tiers by which active customers are scheduled; a body without one has the second.
local TIERS = {'low', 'standard', 'high'}

local function seen(key, lanes, phases)
  local raw = ask('GET', prefix .. 'record:' .. key)
  local body = body_of(raw) or {}
  local due, places = {}, {}
  for _, lane in ipairs(lanes) do due[lane] = score('due:' .. lane, key) or nil end
  local header = header_in(raw)
  if header then due[header.lane] = score('due:' .. header.lane, key) or nil end
  for _, phase in ipairs(phases) do places[phase] = score('phase:' .. phase, key) or nil end
  local sub_partner = type(body.sub_partner_id) == 'string' and body.sub_partner_id
  local identified = {}
  for _, tier in ipairs(TIERS) do identified[tier] = score('identified:' .. tier, key) or nil end
  return {
    identified = identified, now = int(now_ms), raw = raw, exists = exists(key), due = due, phases = places,
    claim = ask('HGET', prefix .. 'claims', key),
    parts = ask('HKEYS', prefix .. 'input:' .. key), input_ttl = ask('PTTL', prefix .. 'input:' .. key),
    acts = ask('LLEN', prefix .. 'acts:' .. key), history = ask('LRANGE', prefix .. 'history:' .. key, 0, -1),
    external = holder_of('external', body.external_id), customer = holder_of('customer', body.customer_id),
    sub_partner = not sub_partner or ask('SISMEMBER', prefix .. 'sub_partners', sub_partner) == 1,
  }
end

local operations = {}

-- traffic lane* -> JSON: now, until when Iron's tap is closed, whether the breaker is open, which lanes are paused, which
-- imports take turns, and for each lane its first member, up to when it was nudged for slots, where its line of those
-- refused one ends, and whether a claim of it is in hand. With very many claims, which take too long to read at once,
-- every lane counts as one at work.
function operations.traffic(...)
  local heads, working, offered, lines = {}, {}, {}, {}
  for _, lane in ipairs({...}) do
    local first = ask('ZRANGE', due_of(lane), 0, 0, 'WITHSCORES')
    heads[lane] = first and first[1] and first or nil
    offered[lane] = ask('HGET', prefix .. 'pace', 'call.offered.' .. lane) or nil
    for _, class in ipairs({'call', 'identification'}) do
      local last = tonumber(ask('HGET', prefix .. 'pace', class .. '.line.' .. lane) or nil)
      if last then lines[lane] = math.max(lines[lane] or 0, last) end
    end
    working[lane] = redis.call('HLEN', prefix .. 'claims') > 10000 or nil
  end
  if redis.call('HLEN', prefix .. 'claims') <= 10000 then
    for _, claim in ipairs(redis.call('HVALS', prefix .. 'claims')) do
      local ends, lane = ends_of(claim), string.match(claim, '%S+$')
      if ends and ends > now_ms then working[lane] = true end
    end
  end
  return cjson.encode({
    now = int(now_ms), closed = ask('HGET', prefix .. 'pace', 'closed') or '0',
    opened = ask('HEXISTS', prefix .. 'pace', 'opened') == 1, paused = ask('HKEYS', prefix .. 'paused') or {},
    heads = heads, working = working, offered = offered, lines = lines,
    turns = ask('ZRANGE', prefix .. 'turns', 0, -1, 'WITHSCORES'),
  })
end

-- seen json key* -> JSON for each key. json: {"lanes", "phases"}, the indexes to look into
function operations.seen(places, ...)
  local wanted, found = cjson.decode(places), {}
  for i, key in ipairs({...}) do found[i] = cjson.encode(seen(key, wanted.lanes, wanted.phases)) end
  return found
end

-- Places whose keys are named after endpoints, not records.
local OF_ENDPOINTS = {courier = true, parked = true, replays = true}

-- Whether there is what a place's key belongs to.
local function owned(place, key)
  if OF_ENDPOINTS[place] then return ask('HEXISTS', prefix .. 'endpoints', key) == 1 end
  return exists(key)
end

-- orphans place key* -> positions (from 1) of the keys that are in this place while nothing is there that they belong to
function operations.orphans(place, ...)
  local found = {}
  for i, key in ipairs({...}) do
    if not owned(place, key) then
      local there
      if place == 'claims' or place == 'links' then
        there = ask('HEXISTS', prefix .. place, key) == 1
      elseif string.find(place, ':', 1, true) then
        there = score(place, key)
      else
        there = redis.call('EXISTS', prefix .. place .. ':' .. key) == 1
      end
      if there then found[#found + 1] = i end
    end
  end
  return found
end

-- The keys to which an entry of an index leads: one, except for an e-mail address, which several may have.
local function led_to(index, id)
  local keys = {}
  local pattern = index == 'email' and '[^\n]+' or '.+'
  for key in string.gmatch(ask('HGET', prefix .. index, id) or '', pattern) do keys[#keys + 1] = key end
  return keys
end

local function leads_to(index, id, key)
  for _, holder in ipairs(led_to(index, id)) do
    if holder == key then return true end
  end
  return false
end

-- Say what is wrong with an entry of an index: nowhere, stray, or nothing.
-- A corrected record may be found under external ids and e-mail addresses that it had before. What cannot be read is
-- not judged.
local function verdict(index, id, key)
  if not leads_to(index, id, key) then return nil end
  if not exists(key) then return 'nowhere' end
  if index == 'email' then return nil end
  local body = body_at(key)
  if not body or body[INDEXES[index]] == id then return nil end
  if index == 'external' and (tonumber(body.revision) or 0) > 0 then return nil end
  return 'stray'
end

-- pointers index (id key)* -> (position verdict)* of the entries that are wrong
function operations.pointers(index, ...)
  local given, found = {...}, {}
  for i = 1, #given, 2 do
    local wrong = verdict(index, given[i], given[i + 1])
    if wrong then
      found[#found + 1] = (i + 1) / 2
      found[#found + 1] = wrong
    end
  end
  return found
end

-- Whether a record is as it was seen: the same version with the same due time, "" for none.
local function as_seen(key, version, due)
  local header = header_of(key)
  return header and header.version == version and (score('due:' .. header.lane, key) or '') == due and header
end

-- due key version due: make a record due now, or at the end of the claim in hand; never later than it is
function operations.due(key, version, due)
  local header, at = as_seen(key, version, due), soonest(key)
  if header and (due == '' or tonumber(due) > at) then redis.call('ZADD', due_of(header.lane), int(at), key) end
end

-- undue key version due: nothing is due any more
function operations.undue(key, version, due)
  local header = as_seen(key, version, due)
  local idle = redis.call('EXISTS', prefix .. 'acts:' .. key) == 0 and redis.call('HEXISTS', prefix .. 'claims', key) == 0
  if header and idle then redis.call('ZREM', due_of(header.lane), key) end
end

-- lanes key lane*: due in the lane of the record only, at the earlier time where there are two
function operations.lanes(key, ...)
  local header, own, least = header_of(key), false, nil
  for _, lane in ipairs({...}) do own = own or (header and header.lane == lane) end
  if not own then return end
  for _, lane in ipairs({...}) do
    local at = tonumber(score('due:' .. lane, key) or nil)
    if at then least = math.min(least or at, at) end
    if at and lane ~= header.lane then redis.call('ZREM', due_of(lane), key) end
  end
  if least then redis.call('ZADD', due_of(header.lane), least, key) end
end

-- turn key: the import of a record that waits takes its turns, unless it is paused or cancelled
function operations.turn(key)
  local header = header_of(key)
  local place = header and header.lane
  if not place or not string.find(place, '/', 1, true) then return end
  local import = prefix .. 'import:' .. string.match(place, '/(.*)$')
  local halted = redis.call('HEXISTS', import, 'paused') + redis.call('HEXISTS', import, 'cancelled')
  if redis.call('EXISTS', due_of(place)) == 1 then redis.call('ZADD', prefix .. 'turns', halted > 0 and 1 or 0, place) end
end

-- phases key phase*: in the index of the record's phase, since when the record says, and in no other
function operations.phases(key, ...)
  local header = header_of(key)
  if not header then return end
  for _, phase in ipairs({...}) do
    if phase ~= header.phase then redis.call('ZREM', prefix .. 'phase:' .. phase, key) end
  end
  redis.call('ZADD', prefix .. 'phase:' .. header.phase, header.since, key)
end

-- unmember place key: out of a set, the claims or the revoked links, while there is no record
function operations.unmember(place, key)
  if exists(key) then return end
  redis.call((place == 'claims' or place == 'links') and 'HDEL' or 'ZREM', prefix .. place, key)
end

-- unpoint index id key: the entry goes while it is wrong
function operations.unpoint(index, id, key)
  if not verdict(index, id, key) then return end
  local others = {}
  for _, holder in ipairs(led_to(index, id)) do
    if holder ~= key then others[#others + 1] = holder end
  end
  if #others == 0 then
    redis.call('HDEL', prefix .. index, id)
  else
    redis.call('HSET', prefix .. index, id, table.concat(others, '\n'))
  end
end

-- point index id key: the entry leads to the record that has the id, unless it leads to another that has it as well
function operations.point(index, id, key)
  local body = body_at(key)
  if not body or body[INDEXES[index]] ~= id then return end
  local holder = ask('HGET', prefix .. index, id)
  if holder and exists(holder) then
    local other = body_at(holder)
    if not other or other[INDEXES[index]] == id then return end
  end
  redis.call('HSET', prefix .. index, id, key)
end

-- unclaim key claim: a claim that nobody can read goes, and what was due later is due now
function operations.unclaim(key, claim)
  if ask('HGET', prefix .. 'claims', key) ~= claim or ends_of(claim) then return end
  redis.call('HDEL', prefix .. 'claims', key)
  local header = header_of(key)
  local at = header and tonumber(score('due:' .. header.lane, key) or nil)
  if at and at > now_ms then redis.call('ZADD', due_of(header.lane), int(now_ms), key) end
end

-- input key ttl_ms phase*: the input expires in one of these phases, and in no other
function operations.input(key, ttl_ms, ...)
  local header, done = header_of(key), false
  if not header then return end
  for _, phase in ipairs({...}) do done = done or phase == header.phase end
  local ttl = redis.call('PTTL', prefix .. 'input:' .. key)
  if done and ttl == -1 then redis.call('PEXPIRE', prefix .. 'input:' .. key, ttl_ms) end
  if not done and ttl >= 0 then redis.call('PERSIST', prefix .. 'input:' .. key) end
end

-- drop_input key: input goes while there is no record
function operations.drop_input(key)
  if not exists(key) then redis.call('DEL', prefix .. 'input:' .. key) end
end

-- drop_rest place name: what is left of an endpoint that was removed
function operations.drop_rest(place, name)
  if OF_ENDPOINTS[place] and not owned(place, name) then redis.call('DEL', prefix .. place .. ':' .. name) end
end

-- identified key: an active customer is scheduled by its tier and in no other, anybody else in none
function operations.identified(key)
  local header, body = header_of(key), body_at(key)
  if not header or not body then return end
  local own = header.phase == 'active' and tonumber(body.identified_ms) and (body.risk_tier or 'standard')
  for _, tier in ipairs(TIERS) do
    if tier == own then
      redis.call('ZADD', prefix .. 'identified:' .. tier, int(body.identified_ms), key)
    else
      redis.call('ZREM', prefix .. 'identified:' .. tier, key)
    end
  end
end

-- sub_partner key: the record's sub-partner is one of those that the sweep asks for
function operations.sub_partner(key)
  local body = body_at(key)
  if body and type(body.sub_partner_id) == 'string' then
    redis.call('SADD', prefix .. 'sub_partners', body.sub_partner_id)
  end
end

return operations[ARGV[1]](unpack(ARGV, 4))
