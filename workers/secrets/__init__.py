"""Encryption, and what opens doors.

- `key_ids`: which keys seal what is stored
- `links`: a customer's link
- `rotation`: another key in place of an old one
- `signature`: HMAC over the raw bytes of Iron's webhooks
- `stored_tokens`: API tokens in the ledger
- `tokens`: API tokens
- `vault`: the key ring
"""
