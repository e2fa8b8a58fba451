"""Encryption, and what opens doors.

- `links`: a customer's link
- `tokens`: API tokens
- `vault`: the key ring
"""
