-- The ledger: every change of an onboarding's record is one call of one operation. The script of an operation is the
-- part that it is in and the parts that this one needs (see workers/ledger/scripts.py). This one all need: the key layout, the
-- time, a record and its claim. Others that are needed by several: details.lua, pace.lua (Iron's budget), events.lua
-- (what upstream is told), imports.lua (imports, and which keys of a lane are next), schedule.lua (who is identified
-- since when).
--
--   KEYS[1]  prefix of all keys, "onboarding:"
--   ARGV[1]  operation: create, join, claim, renew, commit, onward, wake, act, revoke, take, read, permit, aside, allowed, close,
--            pause_lanes, resume_lanes, standing, sweep, swept, import, load, loaded, halt, resume, drop, count;
--            drop_events, endpoint_*, courier_*, refuse; token_put; policy, move, due;
--            ages, limits, timed, overdue; place, ask, run, rouse; heads, reseal
--   ARGV[2]  milliseconds added to the server's clock; 0 but in tests that turn the clock
--   ARGV[3]  Iron's budget: for each class "<class> <interval> <late> <window> <spread> ", in ms, at the ceiling; see pace.lua
--   ARGV[4+] arguments of the operation, see there
--
-- Keys (all without expiry unless said), with <key> an idempotency key:
--   record:<key>    string  "<format> <version> <token> <place> <phase> <step> <created> <since> <updated>\n<json>";
--                           times in ms; the JSON is written by workers and opaque here. <place>: where it waits: its lane,
--                           or bulk/<import> for a row that nobody has taken in hand yet, or bulk/+ for an import's customer
--                           who is begun and has no identification yet, or bulk/~ for a customer of the bulk lane who is
--                           only read again, in case something has changed. The part before the / is the lane
--   input:<key>     hash    part -> ciphertext of what was submitted; expires some time after it is no longer needed
--   history:<key>   list    one JSON object for each commit, oldest first, chained by digest
--   acts:<key>      list    what people did and no commit has applied yet, oldest first
--   evidence:<key>  list    encrypted records of consent
--   due:<place>     zset    key -> ms when it is looked at next; the one truth about due times
--   claims          hash    key -> "<fence> <until> <since> <crashes> <woken> <place>": the claim in hand, or one that ended without
--                           a commit (until is over): then its calls are in doubt since <since>
--   phase:<phase>   zset    key -> ms since when it is in this phase; its size is the phase's counter
--   external        hash    external id -> key
--   customer        hash    Iron's customer id -> key
--   email           hash    keyed digest of an e-mail address -> the keys of those who have or had it, a line each
--   unclaimed:<id>  string  wakes for a customer id that no record knows yet, a hint a line; expires
--   hints:<key>     string  what webhooks said while the record was in hand, a hint a line; expires
--   heard:<key>     string  ms when a webhook last had the record read at once; expires
--   links           hash    key -> "<serial> <token>": how often the customer's links to a record were revoked, where they were
--   sub_partners    set     sub-partners that any record has
--   identified:<tier>    zset    active customers: key -> ms when the newest identification began
--   reidentification     hash    the policy in force: version, policy (JSON), token; how far its due times are moved
--   reidentification_log list    every policy that ever was in force, oldest first
--   reminders            hash    the policy of reminders in force, as that of re-identification
--   reminders_log        list    every policy of reminders that ever was in force, oldest first
--   limits, limits_log   the same of the policy of limits
--   limited              hash    "<phase> <actor>" -> the limit of this stage, in ms
--   timed:<stage>        zset    key -> ms since when it is in a stage that has a limit and is not over it; <stage>: as in limited
--   overdue:<stage>      zset    the same of those who are over it, which was told
--   ages                 hash    newest slot that each window holds
--   ages_in:<window>     hash    "<phase> <actor>" -> how many stages ended in the window (24h, 7d, 30d), four bytes a bucket
--   ages_hour:<n>, ages_day:<n>  hash  the same of one hour or day since the epoch; expires
--   waiting:start        zset    key -> order of those who wait for a place among a day's starts
--   starts:<day>         zset    key -> ms when it got its place among the starts of this day; expires
--   run:<run>            hash    begun, state, last: who changed it and why; expires
--   run_keys:<run>       zset    key -> ms when it got its place, 0 before; expires
--   sweep           hash    the sweep under way and the last one: token, until, started, place, and counts
--   events          stream  what upstream is told, oldest first: key, and what "<name> <phase> <waiting on> <version>"
--   events_gone     string  id of the newest event that was dropped because of its age
--   imports         zset    name of an import -> ms when it began
--   import:<name>   hash    digest of the file, by, created, read, loaded, finished; paused and cancelled (each with _by, _reason);
--                           resumed; rows, create, unchanged, conflict, error; started, passed, phase:<phase>; marks of its speed
--   import_speed    hash    passed and marks of the speed, as of an import, of all imports together
--   imported:<name> list    keys of the records that an import made, in the order of its rows
--   report:<name>   hash    number of a batch -> its refused rows, sealed; expires
--   turns           zset    bulk/<import> with rows that wait -> 0: takes its turns, 1: paused or cancelled
--   turn            string  the place of the bulk lane that was served last
--   turn_import     string  the last of these that was of an import
--   turn_read       string  how many nudges the others have had for which bulk/~ has not had its own
--   counters        hash    "<name>|<label>=<value>..." -> how often, over the whole fleet; see workers/process/counters.py
--   counted:<token> string  a call that added to the counters, so that its repetition does not; expires
--   endpoints       hash    name of an endpoint -> JSON: address, types, sealed secrets
--   endpoint_acts   list    what people did to endpoints, oldest first, the last 10,000
--   courier:<name>  hash    how far an endpoint's deliveries are: epoch, lease "<token> <until>", paused, cursor, and counts
--   parked:<name>   hash    key -> JSON: events of an onboarding that wait because the endpoint refuses the first of them
--   replays:<name>  hash    id -> "<cursor> <last>": events that are to be delivered again
--   refused         zset    id of a message -> ms when its job was refused; the last 1,000, for a month
--   refused_jobs    hash    id of a message -> JSON: idempotency key, reasons
--   pace            hash    Iron's budget. Times in ms, with fraction where slots are meant, <class> call, identification, sweep:
--                           <class>.free: the next slot; .part .part_at .halved: part of its rate since a 429 and when it came;
--                           .spread .spread_at: by how much slots are farther apart since a worker said that it is late;
--                           .floor.<lane> .owed.<lane> .offered.<lane> .line.<lane>: when the lane gets its floor again, is
--                           nudged for it again, has been nudged up to, and where those who were refused stand in line;
--                           closed: until then Iron wants no call (429); opened retry_at retry_ms probe probe_ends: the
--                           breaker since it opened; ramp_at: when it closed; bad_since bad_at bad good: calls counted for it
--   first_call:<digest>  string  a worker with these settings has just made its first call to Iron; expires
--   paused          hash    lane -> "<ms> <json>": when a person paused it, and who and why
--   resumed         hash    lane -> ms when it was resumed last
--   key_ids         hash    id of a key of the ring -> ms since when it seals here
--   rotation        hash    how far the values are sealed with another key: to (its id), sort, cursor
--   tokens          hash    name of an API token -> JSON: role, SHA-256, when and by whom it was made, its end
--   tokens_used     hash    name of an API token -> ms of the hour in which it was last used
--   session:<digest>  string  JSON of somebody who is signed in at the console: the token's name, the end; expires
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
-- A due time that was computed by a policy that is over is looked at again after this many ms.
local RULE_MS = 1000
-- A record of a newer release is left alone for this many ms.
local NEWER_MS = 30000
-- How long a wake that waits for a commit is kept, in ms: longer than any commit of ours takes.
local UNCLAIMED_MS = 600000

-- Where customers of the bulk lane wait who are only read again, in case something has changed. Webhooks and the sweep
-- tell that too, so everything else in the lane goes before them.
local READ_AGAIN = 'bulk/~'

local function int(number)
  return string.format('%.0f', number)
end

local function due_of(place)
  return prefix .. 'due:' .. place
end

local function load(key)
  local raw = redis.call('GET', prefix .. 'record:' .. key)
  if not raw then return nil end
  local format, version, token, place, phase, step, created, since, updated =
    string.match(raw, '^(%d+) (%d+) (%S+) (%S+) (%S+) (%S+) (%d+) (%d+) (%d+)\n')
  return {
    raw = raw, format = tonumber(format), version = tonumber(version), token = token, phase = phase, step = step,
    place = place, lane = string.match(place, '^[^/]+'), created = created, since = since, updated = updated,
  }
end

local function save(key, format, version, token, place, phase, step, created, since, json)
  local header = table.concat({format, version, token, place, phase, step, created, since, int(now_ms)}, ' ')
  redis.call('SET', prefix .. 'record:' .. key, header .. '\n' .. json)
end

local function claim_of(key)
  local raw = redis.call('HGET', prefix .. 'claims', key)
  if not raw then return nil end
  local fence, ends, since, crashes, woken, place = string.match(raw, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%S+)$')
  return {
    fence = fence, ends = tonumber(ends), since = since, crashes = tonumber(crashes), woken = woken, place = place,
  }
end

local function put_claim(key, claim)
  local raw = table.concat({claim.fence, int(claim.ends), claim.since, claim.crashes, claim.woken, claim.place}, ' ')
  redis.call('HSET', prefix .. 'claims', key, raw)
  redis.call('ZADD', due_of(claim.place), int(claim.ends), key)
end

-- Note in a claim in hand what its commit looks after: 1 something that a person did, 2 hints, 3 both.
local function mark(claim, what)
  local woken = tonumber(claim.woken)
  claim.woken = (woken == 0 or woken == what) and what or 3
end

local function set_due(record, key, at)
  redis.call('ZADD', due_of(record.place), int(at), key)
end

-- Let a record wait at another place from now on; where it is due there is for the caller to say.
local function move_to(place, key, record)
  redis.call('ZREM', due_of(record.place), key)
  record.place = place
  record.raw = string.gsub(record.raw, '^(%d+ %d+ %S+) %S+', '%1 ' .. place, 1)
  redis.call('SET', prefix .. 'record:' .. key, record.raw)
end

local operations = {}
