"""Encryption, and what opens doors.

- `key_ids`: which keys seal what is stored
- `links`: a customer's link
- `rotation`: another key in place of an old one
- `tokens`: API tokens
- `vault`: the key ring
"""
