-- How long stages take: a stage is a phase and who must act in it. Counted by the commit that ends it, into buckets of a
-- logarithmic scale, for the last 24 hours, 7 and 30 days; and the clocks of stages that have a limit. Keys: ages*, limited,
-- timed:*, overdue:*, resumed, see base.lua.
-- needs: base

-- Buckets for each doubling of a length of time: what is read from one is at most a fifth too long.
local PER_DOUBLING = 4
-- The last bucket: two years.
local MOST = 104
-- Length of the slots from which the windows are made, in ms, and how many of them a window has, the one under way included.
local HOUR, DAY = 3600000, 86400000
local WINDOWS = {{name = '24h', slot = HOUR, slots = 25}, {name = '7d', slot = DAY, slots = 8}, {name = '30d', slot = DAY, slots = 31}}

local function slot_key(slot, number)
  return prefix .. 'ages_' .. (slot == HOUR and 'hour:' or 'day:') .. int(number)
end

-- Counts of a stage are one string, four bytes a bucket: what is read in one piece costs little.
local function count_at(counts, at)
  return at + 4 <= #counts and struct.unpack('<I4', counts, at + 1) or 0
end

local function add(key, stage, number)
  local counts, at = redis.call('HGET', key, stage) or '', number * 4
  if #counts < at then counts = counts .. string.rep('\0', at - #counts) end
  local counted = struct.pack('<I4', count_at(counts, at) + 1)
  return redis.call('HSET', key, stage, string.sub(counts, 1, at) .. counted .. string.sub(counts, at + 5))
end

local function subtract(key, stage, gone)
  local counts, left, any = redis.call('HGET', key, stage) or '', {}, false
  for at = 0, #counts - 4, 4 do
    local count = math.max(0, count_at(counts, at) - count_at(gone, at))
    left[#left + 1], any = struct.pack('<I4', count), any or count > 0
  end
  if any then redis.call('HSET', key, stage, table.concat(left)) else redis.call('HDEL', key, stage) end
end

-- Take out of the windows what is older than they are. A slot is kept for as long as it may have to be taken out.
-- counting: something is counted right after; who only reads leaves nothing behind where nothing was ever counted.
local function roll(counting)
  local newest = redis.call('HMGET', prefix .. 'ages', '24h', '7d', '30d')
  for i, window in ipairs(WINDOWS) do
    local last, now_slot = tonumber(newest[i] or 0), math.floor(now_ms / window.slot)
    local total = prefix .. 'ages_in:' .. window.name
    if last < now_slot then
      if now_slot - last >= window.slots then
        redis.call('DEL', total)
      else
        for number = last - window.slots + 1, now_slot - window.slots do
          local gone = redis.call('HGETALL', slot_key(window.slot, number))
          for n = 1, #gone, 2 do subtract(total, gone[n], gone[n + 1]) end
        end
      end
      if counting or redis.call('EXISTS', total) == 1 then
        redis.call('HSET', prefix .. 'ages', window.name, int(now_slot))
      end
    end
  end
end

local function bucket(ms)
  local exact = PER_DOUBLING * math.log(math.max(ms, 1) / 1000) / math.log(2)
  return math.min(MOST, math.max(0, math.ceil(exact - 1e-9)))
end

-- Whether somebody had paused the lane or the import of a record at any time since then: then its age says nothing.
local function was_paused(lane, import, since)
  if redis.call('HEXISTS', prefix .. 'paused', lane) == 1 then return true end
  if tonumber(redis.call('HGET', prefix .. 'resumed', lane) or 0) > since then return true end
  if import == '' then return false end
  local paused, resumed = unpack(redis.call('HMGET', prefix .. 'import:' .. import, 'paused', 'resumed'))
  return paused or tonumber(resumed or 0) > since
end

local function count_age(stage, since)
  roll(true)
  local number = bucket(now_ms - since)
  for _, slot in ipairs({HOUR, DAY}) do
    local key = slot_key(slot, math.floor(now_ms / slot))
    if add(key, stage, number) == 1 then redis.call('PEXPIRE', key, int(slot * (slot == HOUR and 52 or 64))) end
  end
  for _, window in ipairs(WINDOWS) do add(prefix .. 'ages_in:' .. window.name, stage, number) end
end

-- The clock of a stage begins: kept where the policy has a limit for it. stage: "<phase> <actor>"
local function begin_stage(key, stage, since)
  if redis.call('HEXISTS', prefix .. 'limited', stage) == 1 then
    redis.call('ZADD', prefix .. 'timed:' .. stage, since, key)
  end
end

local function forget_stage(key, stage)
  redis.call('ZREM', prefix .. 'timed:' .. stage, key)
  redis.call('ZREM', prefix .. 'overdue:' .. stage, key)
end

-- turned: "" while the stage goes on, else "<phase> <actor> <since> <phase> <actor>": the one that ends and the next.
local function turn_stage(key, lane, import, turned)
  local before, since, after = string.match(turned, '^(%S+ %S+) (%d+) (%S+ %S+)$')
  if not before then return end
  forget_stage(key, before)
  since = tonumber(since)
  if not string.find(before, ' nobody', 1, true) and not was_paused(lane, import, since) then count_age(before, since) end
  begin_stage(key, after, int(now_ms))
end

-- A record got another key: its clock goes on.
local function restage_as(old_key, key, phase)
  for _, actor in ipairs({'us', 'customer', 'iron', 'operator'}) do
    for _, kind in ipairs({'timed:', 'overdue:'}) do
      local set = prefix .. kind .. phase .. ' ' .. actor
      local since = redis.call('ZSCORE', set, old_key)
      if since then
        redis.call('ZREM', set, old_key)
        redis.call('ZADD', set, since, key)
      end
    end
  end
end
