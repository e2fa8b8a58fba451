"""What people and tests do to the provider.

- `control`: the control interface under `/_sandbox/`
- `drawing`: plausible values of every switch, drawn by seed
- `faults`: faults on request
- `hosted_page`: the page behind a hosted link
- `oddities`: odd answers to reads
- `traffic`: what arrived, and rate limits
"""
