"""Iron's list of customers compared with the ledger.

- `adopt`: records for customers that only Iron knows
- `cursor`: how far the sweep has come
- `sweep`: wakes the records that differ
"""
