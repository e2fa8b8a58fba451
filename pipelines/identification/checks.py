"""What a job's fields must be to each other.

Read from the raw job, because the fields' own checks may have failed: all problems are told at once. So everything
here takes any shape and passes over what it does not recognise; that has been named already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Where, which code, and what fills the code's text.
Finding = tuple[tuple[str | int, ...], str, "Mapping[str, Any]"]

#: The identifications with data, by the type of customer that they are for.
_WITH_DATA: Final = {"Person": ("Token", "Person"), "Business": ("Business",)}


def across(job: object) -> Iterator[Finding]:
    """Find what does not fit together in a raw job."""
    customer_type = _get(job, "customer", "customer_type")
    identification = _get(job, "identification")
    if customer_type in ("Person", "Business"):
        yield from _fits_customer(customer_type, identification)


def _fits_customer(customer_type: str, identification: object) -> Iterator[Finding]:
    kind = _get(identification, "type")
    allowed = _WITH_DATA[customer_type]
    if kind in ("Token", "Person", "Business") and kind not in allowed:
        rule = {"allowed": " or ".join(allowed), "customer_type": customer_type}
        yield ("identification", "type"), "customer_type_mismatch", rule
    if customer_type == "Business" and _get(identification, "with_edd") is True:
        yield ("identification", "with_edd"), "edd_not_for_business", {}


def _get(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
