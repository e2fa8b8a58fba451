"""What an onboarding is: rules, steps and the provider's client; no Redis, no queue, no environment, no logs.

- `acts`: what people do to an onboarding
- `advance`: what a record says next
- `attempt`: the one way to change something on Iron
- `begin`: records of new, adopted and joined onboardings
- `codes`: which of Iron's words are codes
- `consent`: a consent as it is handed in
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
- `onboarding`: the steps
- `reasons`: Iron's own words
- `reidentification`: policy, plan, calendar
- `retention`: for how long input is kept
- `strict_json`: JSON, read strictly
- `times`: times as text
- `view`: a record as everybody reads it
"""
