-- What is due, for the pulse: take.
-- needs: base imports pace

-- Keys that one take looks at in a lane: those that must wait for a class of their own cost a look and no nudge.
local MOST_LOOKS = 256

-- take secures (lane limit)* -> ms until a lane has room for more ("" where none is short of it), (lane key step version)*
-- of what is due, each now due again after NUDGE_MS. secures: JSON, step -> class that it must be sure of.
-- HOW MANY are taken from a lane is the budget's affair (`room` in pace.lua), WHICH ones that of `pick` in imports.lua.
function operations.take(secures, ...)
  local given, taken, classes, again = {...}, {''}, cjson.decode(secures), nil
  for i = 1, #given, 2 do
    local lane, nudged, looks = given[i], 0, 0
    local left, wait, calls = room(lane, tonumber(given[i + 1]))
    if wait then again = math.min(again or wait, wait) end
    local picked = pick(lane, left)
    while #picked > 0 do
      for _, next in ipairs(picked) do
        local place, key = next[1], next[2]
        local record = load(key)
        local class = record and classes[record.step]
        local there, back = true, nil
        if class then there, back = secure(class, lane) end
        if not record or record.place ~= place then
          redis.call('ZREM', due_of(place), key)
        elseif there then
          redis.call('ZADD', due_of(place), int(now_ms + NUDGE_MS), key)
          for _, field in ipairs({lane, key, record.step, record.version}) do taken[#taken + 1] = field end
          nudged = nudged + 1
          served(lane, place)
        else
          redis.call('ZADD', due_of(place), int(now_ms + back), key)
        end
      end
      looks = looks + #picked
      picked = (nudged < left and looks < MOST_LOOKS) and pick(lane, left - nudged) or {}
    end
    if nudged > 0 then offer(calls, nudged) end
  end
  taken[1] = again and math.ceil(again) or ''
  return taken
end
