"""The provider's own books and what happens in them.

- `clock`: its time
- `effects`: every effect, once
- `ids`: identifiers
- `lifecycle`: what happens to a customer, when
- `outbox`: webhooks that wait
- `records`: customers, identifications, signings
- `schedule`: what is going to happen
- `scripts`: what each e-mail tag stands for
- `store`: records by id
- `switches`: what the documents leave open
"""
