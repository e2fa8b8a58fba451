-- Imports: files of jobs whose rows wait in due sets of their own, so that several share the bulk lane row about row.
-- Keys: import:<name>, imported:<name>, imports, import_speed, report:<name>, turns, turn*; see base.lua.
-- needs: base

-- Customers whom imports have begun and who have no identification yet; at this many no further one is begun. It keeps
-- the threads of several machines busy, and what waits for Iron's budget meanwhile small.
local BEGUN_MAX = 128
-- Distance of the two marks from which the speed of an import is read, in ms.
local MARK_MS = 120000
-- Without anybody getting through for this long, in ms, nothing was going on: longer than between two of a small budget.
local IDLE_MS = 300000
local BEGUN = 'bulk/+'
-- Of this many nudges of the bulk lane one is for those who are only read again, however much else there is to do.
local READ_EACH = 8
-- This many nudges can be owed to them at most, or be ahead of their due: a long time of either kind is soon forgotten.
local READ_OWED = 8
-- Phases in which something is to be done by us before the customer can do anything.
local OURS = {received = true, customer_created = true}

local function import_key(name)
  return prefix .. 'import:' .. name
end

-- The import whose row nobody has taken in hand yet waits at this place; nil for every other place.
local function import_at(place)
  return string.match(place, '^bulk/(%w%S*)$')
end

-- Whether nobody may begin with a record because its import is paused or cancelled.
local function halted(record)
  local name = import_at(record.place)
  return name and redis.call('ZSCORE', prefix .. 'turns', record.place) == '1'
end

-- Note that a row of an import is in hand for the first time: from now on it waits where those wait that are begun.
local function begin(key, record)
  local name = import_at(record.place)
  if not name then return end
  redis.call('HINCRBY', import_key(name), 'started', 1)
  move_to(BEGUN, key, record)
end

-- Note when the last row of a loaded import was through with our own work; what comes up again later does not count.
local function finish(name)
  local import = import_key(name)
  local loaded, received, created = unpack(redis.call('HMGET', import, 'loaded', 'phase:received', 'phase:customer_created'))
  if loaded and tonumber(received or 0) + tonumber(created or 0) == 0 then
    redis.call('HSETNX', import, 'finished', int(now_ms))
  end
end

-- Count a customer who is through with our own work, and keep two marks from which the speed can be read. After a long
-- time without any the speed is read anew.
local function pass(counted)
  local passed = redis.call('HINCRBY', counted, 'passed', 1)
  local at, last = unpack(redis.call('HMGET', counted, 'mark_ms', 'last_ms'))
  redis.call('HSET', counted, 'last_ms', int(now_ms))
  if not at or now_ms - last > IDLE_MS then
    redis.call('HDEL', counted, 'before_ms', 'before_passed')
  elseif now_ms - at < MARK_MS then
    return
  else
    redis.call('HSET', counted, 'before_ms', at, 'before_passed', redis.call('HGET', counted, 'mark_passed'))
  end
  redis.call('HSET', counted, 'mark_ms', int(now_ms), 'mark_passed', passed)
end

-- Count a record of an import in its phase. before: nil for one that is new. Imports have no name "".
local function count_phase(name, before, phase)
  if name == '' or before == phase then return end
  local import = import_key(name)
  if before then redis.call('HINCRBY', import, 'phase:' .. before, -1) end
  redis.call('HINCRBY', import, 'phase:' .. phase, 1)
  if OURS[before] and not OURS[phase] then
    if phase ~= 'cancelled' then
      pass(import)
      pass(prefix .. 'import_speed')
    end
    finish(name)
  end
end

-- Put a record that is new to an import at the end of the import's list.
local function enlist(name, key, phase)
  if name == '' then return end
  redis.call('RPUSH', prefix .. 'imported:' .. name, key)
  count_phase(name, nil, phase)
end

-- Let an import take its turns, or not, as long as rows of it wait.
local function turn(name)
  local place = 'bulk/' .. name
  if redis.call('EXISTS', due_of(place)) == 0 then
    redis.call('ZREM', prefix .. 'turns', place)
    return
  end
  local paused, cancelled = unpack(redis.call('HMGET', import_key(name), 'paused', 'cancelled'))
  redis.call('ZADD', prefix .. 'turns', (paused or cancelled) and 1 or 0, place)
end

-- The places of the bulk lane from which records may be taken, beginning after the one that was served last. Among each
-- other imports go on after the import that was served last, whatever came between: while few may begin, what is begun
-- is served between any two of them, and the first by name would always come after it.
local function places_in_turn()
  local places, imports = {'bulk', BEGUN}, {}
  if redis.call('ZCARD', due_of(BEGUN)) < BEGUN_MAX then
    imports = redis.call('ZRANGEBYSCORE', prefix .. 'turns', 0, 0)
  end
  for _, place in ipairs(imports) do places[#places + 1] = place end
  local last, last_import = unpack(redis.call('MGET', prefix .. 'turn', prefix .. 'turn_import'))
  local first, first_import = 1, 1
  for i, place in ipairs(places) do
    if place == last then first = i + 1 end
    if place == last_import then first_import = i - 1 end  -- two places are before the imports
  end
  local turned, imports_given = {}, 0
  for i = 0, #places - 1 do
    local name = places[(first - 1 + i) % #places + 1]
    if import_at(name) then
      name = imports[(first_import - 1 + imports_given) % #imports + 1]
      imports_given = imports_given + 1
    end
    turned[#turned + 1] = {name = name, given = 0}
  end
  return turned
end

local function due_at(place, offset, n)
  return redis.call('ZRANGEBYSCORE', due_of(place), '-inf', now_ms, 'LIMIT', offset, n)
end

-- How many nudges others have had for which those who are only read again have not had theirs.
local function owed_to_reads()
  return tonumber(redis.call('GET', prefix .. 'turn_read') or 0)
end

local function owe_to_reads(count)
  local most = READ_OWED * (READ_EACH - 1)
  redis.call('SET', prefix .. 'turn_read', int(math.max(-most, math.min(most, owed_to_reads() + count))))
end

-- Keys that are due at places which take turns, at most n, added to those picked; one that has less than its share
-- leaves the rest to the others.
local function pick_from(asked, n, picked)
  while #picked < n and #asked > 0 do
    local share, left = math.max(1, math.floor((n - #picked) / #asked)), {}
    for _, place in ipairs(asked) do
      local keys = #picked < n and due_at(place.name, place.given, share) or {}
      for _, key in ipairs(keys) do picked[#picked + 1] = {place.name, key} end
      place.given = place.given + #keys
      if #keys == share then left[#left + 1] = place end
      local name = place.given == 0 and import_at(place.name)
      if name then turn(name) end
    end
    asked = left
  end
end

-- WHICH keys of a lane are next: those that are due, at most n, the longest due first; in the bulk lane its places take
-- turns, and those who are only read again get what is left, and what is owed to them. -> {place, key}*
local function pick(lane, n)
  local picked = {}
  if lane ~= 'bulk' then
    pick_from({{name = lane, given = 0}}, n, picked)
    return picked
  end
  local reads = {name = READ_AGAIN, given = 0}
  pick_from({reads}, math.min(n, math.floor((owed_to_reads() + n) / READ_EACH)), picked)
  pick_from(places_in_turn(), n, picked)
  pick_from({reads}, n, picked)
  return picked
end

-- Note that a place of a lane has had its turn: a record of it was nudged, not only looked at.
local function served(lane, place)
  if lane ~= 'bulk' then return end
  if place == READ_AGAIN then return owe_to_reads(1 - READ_EACH) end
  owe_to_reads(1)
  redis.call('SET', prefix .. 'turn', place)
  if import_at(place) then redis.call('SET', prefix .. 'turn_import', place) end
end

-- import name digest by -> opened: it is new, or was not read to its end | loaded: it is in the ledger as a whole |
-- cancelled | other: another file has the name
function operations.import(name, digest, by)
  local import = import_key(name)
  local known, loaded, cancelled = unpack(redis.call('HMGET', import, 'digest', 'loaded', 'cancelled'))
  if known and known ~= digest then return 'other' end
  if cancelled then return 'cancelled' end
  if loaded then return 'loaded' end
  if not known then
    redis.call('HSET', import, 'digest', digest, 'by', by, 'created', int(now_ms))
    redis.call('ZADD', prefix .. 'imports', int(now_ms), name)
  end
  redis.call('HSET', import, 'read', int(now_ms))
  return 'opened'
end

-- Note how many rows were read and what became of them: a JSON object of numbers, all of this reading of the file.
local function note_counts(name, counts)
  for field, count in pairs(cjson.decode(counts)) do redis.call('HSET', import_key(name), field, int(count)) end
  redis.call('HSET', import_key(name), 'read', int(now_ms))
end

-- loaded name counts: the file was read to its end.
function operations.loaded(name, counts)
  note_counts(name, counts)
  redis.call('HSETNX', import_key(name), 'loaded', int(now_ms))
  finish(name)
end

-- halt name field by reason: from now on nothing of the import is begun. field: paused, or cancelled, which is for good
function operations.halt(name, field, by, reason)
  local import = import_key(name)
  if redis.call('HEXISTS', import, 'digest') == 0 or redis.call('HEXISTS', import, field) == 1 then return end
  redis.call('HSET', import, field, int(now_ms), field .. '_by', by, field .. '_reason', reason)
  turn(name)
end

-- resume name: rows are begun again, and the import's speed is read anew
function operations.resume(name)
  local import = import_key(name)
  if redis.call('HDEL', import, 'paused', 'paused_by', 'paused_reason') == 0 then return end
  redis.call('HDEL', import, 'mark_ms', 'mark_passed', 'before_ms', 'before_passed')
  redis.call('HSET', import, 'resumed', int(now_ms))
  turn(name)
end
