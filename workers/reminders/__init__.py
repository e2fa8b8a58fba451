"""Of what customers are reminded, and when, as the ledger keeps it.

- `policy_store`: the policy in force, moving due times to it, who is next
"""
