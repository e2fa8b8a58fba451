"""What an onboarding is: rules, steps and the provider's client; no Redis, no queue, no environment, no logs.

- `acts`: what people do to an onboarding, one row an act
- `advance`: what a record says next
- `attempt`: the one way to change something on Iron
- `begin`: records of new, adopted and joined onboardings
- `codes`: which of Iron's words are codes
- `errors`: what can go wrong, by what is known of the effect
- `events`: what upstream systems hear
- `identification`: what a job says of a customer, checked
- `intake`: files of jobs
- `iron`: the client of Iron's API
- `job`: the job, and why one is refused
- `keys`: idempotency keys, fingerprints, names
- `lanes`: lanes and due sets
- `lifecycle`: the table of a customer's life
- `model`: the record, and what steps exchange
- `onboarding`: the steps, one row a step
- `pauses`: how pauses are spread, and Retry-After read
- `reading`: what a customer who was read makes true
- `reasons`: Iron's own words
- `reidentification`: policy, plan, calendar
- `reidentify`: the step that gives notice, or takes a place for the start
- `reminders`: policy, due times, forecast
- `retention`: for how long input is kept
- `signing`: documents and signatures
- `step`: what a row of the table of steps says
- `times`: times as text
- `view`: a record as everybody reads it
"""
