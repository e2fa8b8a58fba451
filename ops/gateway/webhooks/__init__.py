"""Iron's webhooks: verified, stored as a wake-up, answered.

- `envelope`: what a webhook says
- `routes`: `POST /webhooks/iron`
- `wakeups`: many wake-ups in one round trip
"""
