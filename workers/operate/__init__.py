"""What operators look with.

- `audit`: invariants over the whole ledger
- `diagnosis`: which setting a refusal of Iron's is about
- `doctor`: is all well, and if not, what to do
- `first_call`: a worker asks Iron once at its start
- `preflight`: what must be true of Redis
- `rights`: what a Redis user must be allowed to do
- `search`: lists with filters
- `summary`: the whole at a glance
"""
