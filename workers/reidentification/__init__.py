"""Who is identified again, and when, as the ledger keeps it.

- `policy_store`: the policy in force, and the places of a day
- `runs`: runs that people ask for
"""
