-- API tokens that are kept here: by name, as JSON that only modules read.
-- needs: base

-- token_put name before after -> put | again: it is not as it was before. before "": there was none
function operations.token_put(name, before, after)
  local there = redis.call('HGET', prefix .. 'tokens', name) or ''
  if there == after then return 'put' end
  if there ~= before then return 'again' end
  redis.call('HSET', prefix .. 'tokens', name, after)
  return 'put'
end
