"""HTTP itself: what is read, what is refused, who may.

- `access`: roles and routes
- `attempts`: wrong tokens
- `body_limits`: a body within limits of size and time
- `fast_routes`: routes that pass by FastAPI's router
- `head_limit`: a limit for a request's head
- `heads`: HEAD wherever GET is
- `json_body`: strict JSON
- `path_keys`: idempotency keys in addresses
- `problems`: refusals as problem+json
- `request_log`: one line a request
- `windows`: counts by the minute
"""
