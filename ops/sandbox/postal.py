"""The postal address that people and companies share."""

from ops.sandbox.fields import Country, Strict, Text


class Address(Strict):
    """Section 5.3, Address."""

    street_1: Text
    city: Text
    zip_code: Text
    country: Country
    street_2: str | None = None
    state: str | None = None
