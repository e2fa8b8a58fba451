"""What people and tests do to the provider.

- `drawing`: plausible values of every switch, drawn by seed
- `faults`: faults on request
- `moves`: moves by hand
- `oddities`: odd answers to reads
- `traffic`: what arrived, and rate limits
"""
