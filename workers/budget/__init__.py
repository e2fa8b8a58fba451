"""May this call to Iron leave, and when.

- `gate`: permits, the tap, the breaker and pauses in the ledger
- `permits`: the permits of a claim's calls
- `unbound_calls`: calls that belong to no record
"""
