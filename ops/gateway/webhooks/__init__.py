"""Iron's webhooks: verified, stored as a wake-up, answered.

- `envelope`: what a webhook says
- `routes`: `POST /webhooks/iron`
- `signature`: HMAC over the raw bytes
- `wakeups`: many wake-ups in one round trip
"""
