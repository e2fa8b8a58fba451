"""How long stages take and which are over their limit, as the ledger keeps it.

- `ages`: what was counted, limits in force, telling what is over them
"""
