"""How an onboarding runs: Dramatiq, Redis and pace. Uses `pipelines`; never imports `ops`.

- `addresses`: where a name leads to, and whether we may go there
- `app`: the worker process, wired on one screen
- `budget`: may a call to Iron leave, and when
- `engine`: one step: message, claim, step, commit, message
- `environment`: what the environment and secret files give, and the certificates and names in it
- `events`: news goes out to endpoints
- `forms`: the normal form of what people write: text, files, addresses
- `imports`: files of jobs
- `intake`: jobs and consents come in
- `ledger`: records in Redis
- `logs`: log lines, and the fields that may pass
- `operate`: what operators look with: doctor, audit, search, summary
- `process`: what lives with a worker process
- `production`: values that production refuses
- `proxies`: whether a call goes out through a proxy
- `reconcile`: Iron's list compared with the ledger
- `redis_address`: addresses of Redis, their options and databases
- `reidentification`: who is identified again, and when
- `reminders`: of what customers are reminded, and when
- `secrets`: encryption, links, tokens
- `settings`: every setting, read once
- `stages`: how long stages take, and what is over its limit
- `watchdog`: ends a process that hangs

The threads of a worker process, beside Dramatiq's (its worker threads run the steps; each queue has a consumer thread):

- `leases`: renews the claims in hand: engine/leases.py
- `pulse`: moves what is due to the queues: engine/pulse.py
- `porter`: brings messages that nobody would take to where they are taken: engine/porter.py
- `tally`: adds the counters up in the ledger: process/counters.py
- `sweep`: compares Iron's list with ours: reconcile/sweep.py
- `mover`: moves due times to a new policy: process/moving.py
- `overdue`: tells what is over its limit: stages/ages.py
- `courier`: holds endpoints, each with a thread: events/courier.py
- `first call`: asks Iron once at the start: operate/first_call.py
- `watchdog`: ends the process when a part died: watchdog.py
"""
