"""How a customer is identified, with all the fields Iron takes, checked before anything is stored.

Follows section 5 of Iron's API facts (iron-api.md). Nothing here reads a clock, a file or the environment.

- `business`: a business with its owners and directors
- `checks`: what a job's fields must be to each other
- `countries`: country codes
- `fields`: kinds of fields, and their problems
- `moments`: times and days that cannot be
- `oddities`: values that can only be a mistake
- `person`: a person: by link, token or data
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Discriminator, Tag

from pipelines.identification.business import Business
from pipelines.identification.person import Link, Person, Token

#: The kinds of identification. Their tags stand in angle brackets, to be told from fields in a problem's path.
TYPES: Final = ("Link", "Token", "Person", "Business")


def _kind(value: object) -> str:
    kind = value.get("type", "Link") if isinstance(value, dict) else getattr(value, "type", "Link")
    return f"<{kind}>" if isinstance(kind, str) else "<?>"


Identification = Annotated[
    Annotated[Link, Tag("<Link>")]
    | Annotated[Token, Tag("<Token>")]
    | Annotated[Person, Tag("<Person>")]
    | Annotated[Business, Tag("<Business>")],
    Discriminator(_kind),
]

__all__ = ["TYPES", "Business", "Identification", "Link", "Person", "Token"]
