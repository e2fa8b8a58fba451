"""The API for upstream systems and operators: a module a resource, and what they share.

- `acts`: what operators do to an onboarding
- `batching`: jobs that come together share a round trip
- `consents`: the customer's consent
- `events`: the event stream; refused messages
- `idempotency`: the header `Idempotency-Key`
- `imports`: files of jobs
- `lists`: onboardings page by page; find
- `onboardings`: one onboarding, its history, its personal data
- `openapi`: the OpenAPI document
- `paging`: cursors
- `shapes`: requests and answers as JSON
- `submit`: new jobs
- `summary`: the whole at a glance
- `uploads`: a file on its way into the ledger
- `validation`: bodies against their shapes
"""
