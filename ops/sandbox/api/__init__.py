"""The provider's API: endpoints, bodies, answers.

- `bodies`: customers, signings, identifications of people
- `calls`: one request as the endpoints see it
- `company`: a company's identification
- `customers`: endpoints of customers
- `fields`: forms of single fields
- `hooks`: webhook administration
- `idempotency`: stored answers by key
- `identifications`: endpoints of identifications
- `paging`: pages of a customer's lists
- `postal`: postal addresses
- `provider`: everything the provider has, for its endpoints
- `reference`: countries, currencies, fees
- `rendering`: records on the wire
- `requirements`: what is missing; what a customer may do
- `routes`: every endpoint on one screen
- `signings`: documents and signatures
"""
