"""The commands, a module a group. Each imports what it needs when it runs.

- `acts`: retry, correct, restart, cancel, adopt
- `audit`: audit
- `doctor`: doctor
- `endpoints`: endpoints
- `events`: events
- `imports`: imports
- `iron`: iron customer, iron webhooks, iron approve, iron archive
- `jobs`: submit, import, sign
- `keys`: keys
- `limits`: limits
- `link`: link
- `look`: status, history, list, summary
- `pausing`: pause, resume
- `policies`: what a policy means
- `refused`: refused
- `reidentify`: reidentify
- `reminders`: reminders
- `run`: demo, dev, worker, gateway, sandbox
- `runs`: runs of re-identification
- `tokens`: tokens
"""
