"""Encryption, and what opens doors.

- `links`: a customer's link
- `signature`: HMAC over the raw bytes of Iron's webhooks
- `stored_tokens`: API tokens in the ledger
- `tokens`: API tokens
- `vault`: the key ring
"""
