"""The postal address that people and companies share."""

import re

from pydantic import model_validator

from ops.sandbox.api.fields import Country, Strict, Text

#: District, blank or none, place: what is a postcode of the United Kingdom in form. Checked since 2026-10-08; whether
#: the provider looks closer, at letters that are not in use, is not known.
UK = re.compile(r"(?:[A-Z][A-Z]?\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}|GIR ?0AA)", re.ASCII)


class Address(Strict):
    """Section 5.3, Address."""

    street_1: Text
    city: Text
    zip_code: Text
    country: Country
    street_2: str | None = None
    state: str | None = None

    @model_validator(mode="after")
    def _postcode(self) -> "Address":
        """Require a postcode in the United Kingdom to be one."""
        if self.country == "GB" and not (self.zip_code.isascii() and UK.fullmatch(self.zip_code.upper())):
            raise ValueError("zip_code is not a UK postcode")
        return self
