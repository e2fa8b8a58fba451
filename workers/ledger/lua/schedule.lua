-- The schedule of re-identification, kept by every commit: who is active, and identified since when. Keys: identified:*,
-- waiting:start, see base.lua.
-- needs: base

local TIERS = {'low', 'standard', 'high'}

-- Keep the schedule: an active customer is in identified:<tier> and nobody else is.
-- scheduled: "" or "<tier> <identified_ms> <version of the policy that computed the due time, or ->".
-- Answers whether another policy is in force by now.
local function schedule(key, phase, step, scheduled)
  local tier, at, version = string.match(scheduled, '^(%S+) (%d+) (%S+)$')
  for _, name in ipairs(TIERS) do
    if name ~= tier then redis.call('ZREM', prefix .. 'identified:' .. name, key) end
  end
  if tier then redis.call('ZADD', prefix .. 'identified:' .. tier, at, key) end
  if phase ~= 'active' or step ~= 'reidentify' then redis.call('ZREM', prefix .. 'waiting:start', key) end
  return tier ~= nil and version ~= '-' and version ~= (redis.call('HGET', prefix .. 'reidentification', 'version') or '0')
end

-- A record got another key: the schedule follows it.
local function reschedule_as(old_key, key)
  for _, tier in ipairs(TIERS) do
    local at = redis.call('ZSCORE', prefix .. 'identified:' .. tier, old_key)
    if at then
      redis.call('ZREM', prefix .. 'identified:' .. tier, old_key)
      redis.call('ZADD', prefix .. 'identified:' .. tier, at, key)
    end
  end
  redis.call('ZREM', prefix .. 'waiting:start', old_key)
end
