-- A record in one worker's hands: claim, renew.
-- needs: base pace imports

-- claim key version step token lease_ms format part secured
-- secured: the class of Iron's budget that the step must be sure of beside its first call, or ""
-- -> claimed raw fence now crashes since input acts rule call_ms secured_ms probe reminders | gone | newer | leased | superseded | halted
--    | paced ms | paused
-- A claim that is repeated, or only to apply an act, brings no slot with it: its calls ask for theirs.
function operations.claim(key, version, step, token, lease_ms, format, part, secured)
  local record = load(key)
  if not record then return {'gone'} end
  local claim = claim_of(key)
  local fence = version .. '-' .. token
  local acts = redis.call('LRANGE', prefix .. 'acts:' .. key, 0, -1)
  local call_ms, secured_ms, probe = nil, nil, nil
  if not (claim and claim.fence == fence) then
    if record.format > tonumber(format) then
      set_due(record, key, now_ms + NEWER_MS)
      return {'newer'}
    end
    if record.version ~= tonumber(version) or record.step ~= step then return {'superseded'} end
    if claim and claim.ends > now then return {'leased'} end
    if halted(record) then return {'halted'} end
    if #acts == 0 then
      local admitted, first, second, third = admit(record.lane, fence, secured)
      if not admitted then
        if first == 'paused' then return {'paused'} end
        set_due(record, key, now_ms + second)
        return {'paced', math.ceil(second)}
      end
      call_ms, secured_ms, probe = first, second, third
    end
    begin(key, record)
    local unread = claim and (claim.woken == '2' or claim.woken == '3')  -- hints that no commit has compared yet
    put_claim(key, {
      fence = fence, ends = now_ms + lease_ms, since = claim and claim.since or int(now_ms),
      crashes = claim and claim.crashes + 1 or 0, woken = unread and 2 or 0, place = record.place,
    })
    claim = claim_of(key)
  end
  local input = part ~= '' and redis.call('HGET', prefix .. 'input:' .. key, part)
  local rule = redis.call('HGET', prefix .. 'reidentification', 'version') or '0'
  return {
    'claimed', record.raw, fence, now_ms, claim.crashes, claim.since, input, acts, rule,
    call_ms or false, secured_ms or false, probe and 1 or 0,
    redis.call('HGET', prefix .. 'reminders', 'version') or '0',
  }
end

-- renew lease_ms (key fence)* -> for each pair 1 while the claim holds, else 0; and now
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
  held[#held + 1] = now_ms
  return held
end
