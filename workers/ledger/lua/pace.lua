-- Iron's budget: which calls may leave, and when. Keys: pace, paused; see base.lua. Decision 0014.
--
-- Each class of calls (call, identification) has slots, one behind the other, with the interval of its limit and a
-- margin between them. A call needs a slot and may leave somewhat later than that: as long as no call is later than the
-- margin of a window, no window holds more calls than its limit, wherever it begins. A slot that nobody takes is lost.
-- Where a worker says that its calls are later than that, slots are as much farther apart for the next two windows.
--
-- Which lane gets the next slot depends on how far ahead each may reserve: while lanes before it want more than there is,
-- the next slot is farther away than a lane behind them may reach. Below its floor a lane reaches farther than any other.
--
-- No slot is given to a lane that a person has paused, while Iron wants no call at all (429: the tap is closed), and
-- while the breaker is open, but to one claim at a time, the probe. A 429 halves a class's rate, which then grows again
-- window by window; after the breaker closes, all rates grow from a tenth to their whole.
-- needs: base

-- How far ahead of now a lane may reserve its next slot, in ms.
local HORIZON_MS = {interactive = 1000, bulk = 250, reidentify = 150, sweep = 0}
-- How far a step that has begun may, in ms: it is finished before anything new begins.
local IN_HAND_MS = 25000
-- The part of a class's rate that a lane gets also when the lanes before it could use all of it.
local FLOOR = {bulk = 0.22, reidentify = 0.08, sweep = 0.02}
-- How far ahead a lane may reserve while it is below its floor, in ms: beyond every other horizon.
local BELOW_FLOOR_MS = 1500
-- How long a lane's floor remembers what the lane missed, or had above it, in ms.
local FLOOR_MEMORY_MS = 300
-- Part of the calls that the sweep gets at most.
local SWEEP_SHARE = 0.1
-- Nudges are sent for slots that are no farther away than this part of the lane's horizon.
local LOOKAHEAD = 0.8
-- Records that were refused a slot come back one behind the other; none is deferred for longer than this, in ms.
local LINE_MS = 300000

-- What a window adds to a class's rate that a 429 has halved, as a part of its ceiling; and the least that is left of it.
local LEARNING, LEAST = 0.02, 1 / 64
-- The least rate there is, as the ms between two calls: beyond it a step of two calls could not end in time.
local SLOWEST_MS = 11000

-- This many calls without an answer, or with 5xx, within this many ms, and at least half of all, open the breaker.
-- Where no call has a good answer they count for longer; just after closing, fewer are enough.
local TROUBLE, TROUBLE_MS, ALL_BAD_MS, TROUBLE_AGAIN = 10, 10000, 60000, 3
-- This many onboardings whose calls Iron refused for what they all share, within this many ms and with nothing granted to
-- anybody in between, open it too: then it is the key, the API version or the address that Iron refuses. Three, because
-- one or two may meet the same odd machine of Iron's; a minute, because so few jobs may be all that there are.
local REFUSED, REFUSED_MS = 3, 60000
-- Pause before the first probe, and the longest between two, in ms: how late an end of the trouble is noticed.
local FIRST_PROBE_MS, LONGEST_PROBE_MS = 1000, 5000
-- A probe that says nothing for this long is given up, in ms: longer than a call takes.
local PROBE_MS = 15000
-- After the breaker closes, rates grow from this part of themselves to their whole in this many ms.
local RAMP_FROM, RAMP_MS = 0.1, 12000

local PACE, PAUSED = prefix .. 'pace', prefix .. 'paused'

local function pace_of(...)
  local found = redis.call('HMGET', PACE, ...)
  for i = 1, #found do found[i] = found[i] or nil end
  return unpack(found, 1, select('#', ...))
end

-- How much of its ceiling a class has now, by what 429s taught and the time since the breaker closed.
local function part_now(part, part_at, ramp_at, window)
  local learned = math.min(1, (part or 1) + (part_at and (now - part_at) * LEARNING / window or 0))
  local ramp = ramp_at and math.min(1, RAMP_FROM + (1 - RAMP_FROM) * (now - ramp_at) / RAMP_MS) or 1
  return learned, ramp
end

-- By how much slots are farther apart than usual, since a worker said that its calls are late.
local function spread_now(spread, spread_at, window)
  return math.abs(now - (spread_at or 0)) <= 2 * window and tonumber(spread) or 1
end

-- A time that lies farther ahead than anybody ever notes one was noted before the server's clock was set back.
local function sane(at, limit)
  at = tonumber(at or 0)
  return at > limit and now or at
end

-- A class as one lane sees it. A slot that is past is still given for the `late` ms of the class.
local function class_for(name, lane)
  local base, late, window, asked = string.match(ARGV[3], name .. ' (%S+) (%S+) (%S+) (%S+)')
  local free, part, part_at, ramp_at, floor, offered, owed, line, spread, spread_at = pace_of(
    name .. '.free', name .. '.part', name .. '.part_at', 'ramp_at', name .. '.floor.' .. lane,
    name .. '.offered.' .. lane, name .. '.owed.' .. lane, name .. '.line.' .. lane, name .. '.spread', name .. '.spread_at')
  local learned, ramp = part_now(tonumber(part), tonumber(part_at), tonumber(ramp_at), tonumber(window))
  asked, spread = tonumber(asked), spread_now(spread, spread_at, window)
  base = base * math.max(asked, spread)
  local interval = base / learned / ramp
  if name == 'call' then interval = math.max(base, math.min(interval, SLOWEST_MS)) end
  local limit = now + 2 * IN_HAND_MS + 60 * interval
  return {
    name = name, lane = lane, interval = interval, free = math.max(sane(free, limit), now - late),
    spread = asked > 1 and asked >= spread and asked or nil,
    floor = sane(floor, limit), offered = sane(offered, limit), owed = sane(owed, limit),
    line = sane(line, limit + LINE_MS),
  }
end

local function note(class, field, at)
  redis.call('HSET', PACE, class.name .. '.' .. field, string.format('%.3f', at))
end

-- Why no call of a lane may leave now, and the ms for which that is so at least; nil: it may.
-- `holder`: who asks; the probe is let through. `probes`: it may become the probe.
local function held_back(lane, holder, probes)
  if redis.call('HEXISTS', PAUSED, lane) == 1 then return 'paused', NUDGE_MS end
  local closed, opened, retry_at, probe, probe_ends = pace_of('closed', 'opened', 'retry_at', 'probe', 'probe_ends')
  if closed and tonumber(closed) > now then return 'closed', closed - now end
  if not opened or (probe and probe == holder) then return nil end
  if probe and tonumber(probe_ends) > now then return 'open', probe_ends - now end
  if tonumber(retry_at) > now then return 'open', retry_at - now end
  if not probes then return 'open', FIRST_PROBE_MS end
  return nil, nil, true
end

-- The ms until the slot that a lane may have now, below 0 where it is past; nil and the ms until it may have one.
local function slot_in(class, horizon_ms)
  local wait = class.free - now
  local share = FLOOR[class.lane]
  if wait <= horizon_ms or (share and class.floor <= now and wait <= BELOW_FLOOR_MS) then return wait end
  return nil, wait - horizon_ms
end

-- When something that recurs every `every` ms comes next after one at or about now, which it remembers for some time.
local function recurring(last, every)
  return math.min(math.max(last, now - FLOOR_MEMORY_MS) + every, now + math.max(FLOOR_MEMORY_MS, every))
end

local function reserve(class, wait)
  note(class, 'free', now + wait + class.interval)
  if class.spread then
    redis.call('HSET', PACE, class.name .. '.spread', class.spread, class.name .. '.spread_at', int(now))
  end
  local share = FLOOR[class.lane]
  if share then note(class, 'floor.' .. class.lane, recurring(class.floor, class.interval / share)) end
end

-- The ms in which a record that is refused a slot comes back: one behind the other, each a little before its slot.
local function place_in_line(class, not_before)
  local place = math.min(math.max(class.line, class.free, not_before or 0), math.max(now + LINE_MS, not_before or 0))
  note(class, 'line.' .. class.lane, place + class.interval)
  return math.max(place - now - HORIZON_MS[class.lane] * LOOKAHEAD, 1)
end

-- permit lane holder class -> granted wait_ms | held why ms
-- Leave for one call of a step in hand. Asked twice, it costs a slot and no more.
function operations.permit(lane, holder, name)
  local why, back = held_back(lane, holder)
  if why then return {'held', why, math.ceil(back)} end
  local class = class_for(name, lane)
  local wait
  wait, back = slot_in(class, IN_HAND_MS)
  if not wait then return {'held', 'budget', math.ceil(back)} end
  reserve(class, wait)
  return {'granted', math.floor(wait)}
end

-- allowed lane holder -> granted | held why ms: whether a call that has its slot may still leave
function operations.allowed(lane, holder)
  local why, back = held_back(lane, holder)
  if why then return {'held', why, math.ceil(back)} end
  return {'granted'}
end

-- What a claim gets of the budget: its first call, and a slot of the class that its step must be sure of ("": none).
-- -> true, ms to the call's slot, ms to the other's, whether it is the probe; or false, why, and the ms to come back in
-- A slot that it does not get with the claim it asks for later: where the other one is farther away than the call's.
local function admit(lane, holder, secured)
  local why, back, probe = held_back(lane, holder, true)
  if why == 'paused' then return false, why end
  local call = class_for('call', lane)
  if why then return false, why, place_in_line(call, now + back) end
  local other, wait_other
  if secured ~= '' then
    other = class_for(secured, lane)
    wait_other = slot_in(other, HORIZON_MS[lane])
    if not wait_other then return false, 'budget', place_in_line(other) end
  end
  local wait = slot_in(call, HORIZON_MS[lane])
  if not wait then return false, 'budget', place_in_line(call) end
  if other then reserve(other, wait_other) end
  if other and wait_other > math.max(wait, 0) then wait = nil else reserve(call, wait) end
  if probe then redis.call('HSET', PACE, 'probe', holder, 'probe_ends', int(now + PROBE_MS)) end
  return true, wait and math.floor(wait), wait_other and math.floor(wait_other), probe
end

-- How many slots a lane can be nudged for now, and the ms until it can be for the next one.
local function slots_for(class)
  local from, until_ = math.max(class.offered, class.free), now + HORIZON_MS[class.lane] * LOOKAHEAD
  local slots, wait = math.max(math.floor((until_ - from) / class.interval) + 1, 0), from - until_
  if FLOOR[class.lane] then
    if class.owed <= now then slots = math.max(slots, 1) end
    wait = math.min(wait, class.owed - now)
  end
  return slots, math.max(wait, slots * class.interval, 1)
end

-- Note that so many records of a lane were nudged.
local function offer(class, taken)
  local share = FLOOR[class.lane]
  note(class, 'offered.' .. class.lane, math.max(class.offered, class.free) + taken * class.interval)
  if share then note(class, 'owed.' .. class.lane, recurring(class.owed, taken * class.interval / share)) end
end

-- How many records of a lane may be nudged now, at most n: as many as will find a slot. The ms until more may be, where
-- it is fewer; and the class of their calls, for the note that they were nudged.
local function room(lane, n)
  local why, back, probe = held_back(lane, '', true)
  local class = class_for('call', lane)
  if why then return 0, back, class end
  if probe then return math.min(n, 1), FIRST_PROBE_MS, class end
  local slots, wait = slots_for(class)
  if slots >= n then return n, nil, class end
  return slots, wait, class
end

-- Whether a record that must be sure of a class is nudged for a slot of it now; where not, the ms in which it comes back.
local function secure(name, lane)
  local class = class_for(name, lane)
  if slots_for(class) == 0 then return false, place_in_line(class) end
  offer(class, 1)
  return true
end

-- A slot for a call that is no record's and behind all that are: one that is now and that no lane wants, or the floor's.
-- -> ms to the slot; or nil and the ms to come back in
local function aside(call)
  local wait, back = slot_in(call, HORIZON_MS.sweep)
  if not wait then return nil, math.max(back, call.interval / SWEEP_SHARE / 4) end
  reserve(call, wait)
  return math.max(wait, 0)
end

-- What a page of the sweep gets of the budget: a call, and one of the calls that are the sweep's at most. -> ms to the
-- slot; or nil and the ms to come back in
local function admit_page()
  local why, back = held_back('sweep', '')
  if why then return nil, back end
  local call = class_for('call', 'sweep')
  local every = call.interval / SWEEP_SHARE
  local mine = sane((pace_of('sweep.free')), now + every)
  if mine > now then return nil, mine - now end
  local wait
  wait, back = aside(call)
  if wait then redis.call('HSET', PACE, 'sweep.free', string.format('%.3f', now + every)) end
  return wait, back
end

-- aside -> granted wait_ms | held why ms
-- Leave for one call of a person's command that reads Iron's list, in the sweep's lane. The sweep's largest part does
-- not bind it: somebody waits for it, and it takes only what nobody else wants.
function operations.aside()
  local why, back = held_back('sweep', '')
  if why then return {'held', why, math.ceil(back)} end
  local wait
  wait, back = aside(class_for('call', 'sweep'))
  if not wait then return {'held', 'budget', math.ceil(back)} end
  return {'granted', math.floor(wait)}
end

-- close ms class -> 1. No call to Iron for this long, for the whole fleet, and half the rate for the class that met a 429:
-- once a window, and not for calls that left before the tap was closed.
function operations.close(pause_ms, name)
  local ends = now_ms + pause_ms
  local closed, part, part_at, halved = pace_of('closed', name .. '.part', name .. '.part_at', name .. '.halved')
  local window = tonumber(string.match(ARGV[3], name .. ' %S+ %S+ (%S+)'))
  closed = tonumber(closed or 0)
  if closed <= now and now - tonumber(halved or 0) >= window then
    local learned = part_now(tonumber(part), tonumber(part_at), nil, window)
    redis.call('HSET', PACE, name .. '.part', string.format('%.6f', math.max(learned / 2, LEAST)),
      name .. '.part_at', int(now), name .. '.halved', int(now))
  end
  if closed < ends then redis.call('HSET', PACE, 'closed', int(ends)) end
  return 1
end

-- What came of the probe: the breaker closes, or the next probe is farther away; nothing where it made no call.
local function probed(good, bad, pause_ms)
  redis.call('HDEL', PACE, 'probe', 'probe_ends')
  if bad > 0 then
    pause_ms = math.min(pause_ms * 2, LONGEST_PROBE_MS)
    redis.call('HSET', PACE, 'retry_at', int(now + pause_ms), 'retry_ms', int(pause_ms))
  elseif good > 0 then
    redis.call('HDEL', PACE, 'opened', 'retry_at', 'retry_ms', 'refusal')
    redis.call('HSET', PACE, 'ramp_at', int(now))
  end
end

local function open_breaker(refusal)
  redis.call('HDEL', PACE, 'bad_since', 'bad_at', 'good', 'bad', 'refused', 'refused_since')
  redis.call('HSET', PACE, 'opened', int(now), 'retry_at', int(now + FIRST_PROBE_MS), 'retry_ms', FIRST_PROBE_MS)
  if refusal then redis.call('HSET', PACE, 'refusal', refusal) end
end

-- Whether Iron refuses the caller, by one more verdict. refused: the keys of the onboardings that say so, a line each.
local function refused(key, verdict, refused_keys, since)
  if verdict == '' then return false end
  if verdict == '+' then
    if since then redis.call('HDEL', PACE, 'refused', 'refused_since') end
    return false
  end
  if not since or math.abs(now - since) > REFUSED_MS then refused_keys, since = '\n', now end
  if not string.find(refused_keys, '\n' .. key .. '\n', 1, true) then refused_keys = refused_keys .. key .. '\n' end
  redis.call('HSET', PACE, 'refused', refused_keys, 'refused_since', int(since))
  return select(2, string.gsub(refused_keys, '\n', '')) > REFUSED
end

-- Count how Iron answered the calls of a claim: answers that make sense, and none or 5xx; and its verdict on the caller:
-- "+" it granted something, a status by which it refused what all calls share, or "". Opens and closes the breaker.
local function weather(holder, key, good, bad, verdict)
  local opened, probe, retry_ms, since, latest, goods, bads, ramp_at, refusal, refused_keys, refused_since =
    pace_of('opened', 'probe', 'retry_ms', 'bad_since', 'bad_at', 'good', 'bad', 'ramp_at', 'refusal', 'refused', 'refused_since')
  local granted, denied = verdict == '+', verdict ~= '' and verdict ~= '+'
  if opened then
    if probe ~= holder then return end
    -- Where Iron refuses all, an answer alone does not say that it is well again.
    if refusal and not granted then good = 0 end
    probed(good, denied and 1 or bad, tonumber(retry_ms))
    return
  end
  if refused(key, verdict, refused_keys, tonumber(refused_since)) then return open_breaker(verdict) end
  if not since and bad == 0 then return end
  goods, bads = tonumber(goods or 0), tonumber(bads or 0)
  local age, quiet = now - tonumber(since or 0), now - tonumber(latest or 0)
  if quiet > ALL_BAD_MS or (age > TROUBLE_MS and goods > 0) then
    redis.call('HDEL', PACE, 'bad_since', 'bad_at', 'good', 'bad')
    if bad == 0 then return end
    since, goods, bads = nil, 0, 0
  end
  goods, bads = goods + good, bads + bad
  local ramping = ramp_at and now - tonumber(ramp_at) < RAMP_MS
  if bads >= (ramping and TROUBLE_AGAIN or TROUBLE) and bads >= goods then return open_breaker() end
  redis.call('HSET', PACE, 'bad_since', since or int(now), 'good', goods, 'bad', bads)
  if bad > 0 then redis.call('HSET', PACE, 'bad_at', int(now)) end
end

-- pause_lanes who lane* -> lanes that were not paused yet. `who`: JSON, stored as it is with the time put in front.
function operations.pause_lanes(who, ...)
  local done = {}
  for _, lane in ipairs({...}) do
    if redis.call('HSETNX', PAUSED, lane, int(now_ms) .. ' ' .. who) == 1 then done[#done + 1] = lane end
  end
  return done
end

-- resume_lanes lane* -> lanes that were paused
function operations.resume_lanes(...)
  local done = {}
  for _, lane in ipairs({...}) do
    if redis.call('HDEL', PAUSED, lane) == 1 then
      redis.call('HSET', prefix .. 'resumed', lane, int(now_ms))
      done[#done + 1] = lane
    end
  end
  return done
end

-- standing class* -> JSON: now, until when the tap is closed, since when the breaker is open, the status by which Iron
-- refuses the caller (0: it is in trouble), whether a probe is under way, what part of its ceiling each class has, and who paused which lane
function operations.standing(...)
  local closed, opened, probe_ends, ramp_at, refusal = pace_of('closed', 'opened', 'probe_ends', 'ramp_at', 'refusal')
  local parts, paused = {}, redis.call('HGETALL', PAUSED)
  for _, name in ipairs({...}) do
    local part, part_at, spread, spread_at =
      pace_of(name .. '.part', name .. '.part_at', name .. '.spread', name .. '.spread_at')
    local window = tonumber(string.match(ARGV[3], name .. ' %S+ %S+ (%S+)'))
    local learned, ramp = part_now(tonumber(part), tonumber(part_at), tonumber(ramp_at), window)
    parts[name] = learned * ramp / spread_now(spread, spread_at, window)
  end
  local lanes = {}
  for i = 1, #paused, 2 do lanes[paused[i]] = paused[i + 1] end
  return cjson.encode({
    now = now_ms, closed = tonumber(closed or 0), opened = tonumber(opened or 0), refusal = tonumber(refusal or 0),
    probing = probe_ends and tonumber(probe_ends) > now or false, parts = parts, paused = lanes,
  })
end
