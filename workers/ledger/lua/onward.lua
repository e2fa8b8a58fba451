-- A worker that goes on with the record in its hands: a commit, and the claim of the step that follows at once.
-- needs: commit claim

-- onward n <n arguments of commit> <arguments of claim, from step on>
-- -> the answer of commit, and that of claim where the commit wants a nudge for that step: its sender would only claim it
function operations.onward(n, ...)
  local given = {...}
  local key, token = given[1], given[n + 2]
  local committed = operations.commit(unpack(given, 1, n))
  if committed[1] ~= 'committed' then return {committed} end
  local claim = claim_of(key)
  local repeated = claim and claim.fence == committed[2] .. '-' .. token
  if committed[4] ~= 1 and not repeated then return {committed} end
  if committed[6] ~= given[n + 1] and not repeated then return {committed} end  -- news: another step comes first
  return {committed, operations.claim(key, committed[2], unpack(given, n + 1))}
end
