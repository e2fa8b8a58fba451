"""What a job's fields must be to each other.

Read from the raw job, because the fields' own checks may have failed: all problems are told at once. So everything
here takes any shape and passes over what it does not recognise; that has been named already.
Source: iron-api.md sections 4.6, 5.3 and 5.4; and for postcodes Iron's changelog of 2026-10-08.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pipelines.identification.fields import MAX_COMPANY_DEPTH, PERCENTAGE, UK_POSTCODE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Where something stands in a job: names of fields and places in lists.
Path = tuple[str | int, ...]

#: Where, which code, and what fills the code's text.
Finding = tuple[Path, str, "Mapping[str, Any]"]

#: The identifications with data, by the type of customer that they are for.
_WITH_DATA: Final = {"Person": ("Token", "Person"), "Business": ("Business",)}

_PERCENTAGE: Final = re.compile(PERCENTAGE)
_UK_POSTCODE: Final = re.compile(UK_POSTCODE)


def across(job: object) -> Iterator[Finding]:
    """Find what does not fit together in a raw job."""
    customer_type = _get(job, "customer", "customer_type")
    identification = _get(job, "identification")
    if customer_type in ("Person", "Business"):
        yield from _fits_customer(str(customer_type), identification)
    if _get(identification, "type") == "Person":
        yield from _person(("identification",), identification)
    if _get(identification, "type") == "Business":
        where: Path = ("identification", "company_data")
        yield from _company(where, _get(identification, "company_data"), depth=1)


def _fits_customer(customer_type: str, identification: object) -> Iterator[Finding]:
    kind = _get(identification, "type")
    allowed = _WITH_DATA[customer_type]
    if kind in ("Token", "Person", "Business") and kind not in allowed:
        rule = {"allowed": " or ".join(allowed), "customer_type": customer_type}
        yield ("identification", "type"), "customer_type_mismatch", rule
    if customer_type == "Business" and _get(identification, "with_edd") is True:
        yield ("identification", "with_edd"), "edd_not_for_business", {}


def _person(where: Path, person: object) -> Iterator[Finding]:
    yield from _postcode((*where, "address"), _get(person, "address"))
    american = "US" in (_get(person, "address", "country"), _get(person, "identity", "nationality"))
    if american and _get(person, "tax_identification_number") is None:
        yield (*where, "tax_identification_number"), "us_tax_number_missing", {}


def _postcode(where: Path, address: object) -> Iterator[Finding]:
    """Look at the postcode of an address in the United Kingdom; one that is no text, or empty, is told elsewhere."""
    code = _get(address, "zip_code") if _get(address, "country") == "GB" else None
    if isinstance(code, str) and code and not _UK_POSTCODE.fullmatch(code):
        yield (*where, "zip_code"), "not_a_uk_postcode", {}


def _company(where: Path, company: object, *, depth: int) -> Iterator[Finding]:
    """Look at one company and at those among its owners."""
    if depth > MAX_COMPANY_DEPTH:
        yield where, "nested_too_deep", {"limit": MAX_COMPANY_DEPTH}
        return
    yield from _postcode((*where, "company_info", "address"), _get(company, "company_info", "address"))
    beneficiaries = _get(company, "beneficiaries")
    if not isinstance(beneficiaries, list) or not beneficiaries:
        return
    where = (*where, "beneficiaries")
    if not any(_may_have_role(beneficiary, "Director") for beneficiary in beneficiaries):
        yield where, "no_director", {}
    if _shares(beneficiaries) > 100:  # noqa: PLR2004  # per cent
        yield where, "shares_over_100", {}
    is_sole = _get(company, "company_info", "company_type") == "SoleProprietorship"
    for place, beneficiary in enumerate(beneficiaries):
        yield from _beneficiary((*where, place), beneficiary, is_sole=is_sole, depth=depth)


def _beneficiary(where: Path, beneficiary: object, *, is_sole: bool, depth: int) -> Iterator[Finding]:
    info = _get(beneficiary, "beneficiary_info")
    yield from _attestation(where, beneficiary, depth=depth)
    where = (*where, "beneficiary_info")
    if isinstance(info, dict) and "company_data" in info:
        yield from _company((*where, "company_data"), info["company_data"], depth=depth + 1)
        return
    yield from _postcode((*where, "address"), _get(info, "address"))
    yield from _selfie((*where, "identity"), beneficiary, _get(info, "identity"))
    owes_tax_number = is_sole and _has_role(beneficiary, "UltimateBeneficialOwner")
    if owes_tax_number and isinstance(info, dict) and info.get("tax_identification_number") is None:
        yield (*where, "tax_identification_number"), "tax_number_missing", {}


def _attestation(where: Path, beneficiary: object, *, depth: int) -> Iterator[Finding]:
    attests = _get(beneficiary, "attesting_party") is True
    if attests != (_get(beneficiary, "attested_at") is not None):
        yield (*where, "attested_at"), "attestation_incomplete", {}
    is_company = _get(beneficiary, "beneficiary_info", "company_data") is not None
    if attests and (depth > 1 or is_company or not _may_have_role(beneficiary, "Director")):
        yield (*where, "attesting_party"), "attesting_party_not_allowed", {}


def _selfie(where: Path, beneficiary: object, identity: object) -> Iterator[Finding]:
    if not isinstance(identity, dict):
        return
    has_selfie, has_time = identity.get("selfie") is not None, identity.get("selfie_collected_at") is not None
    if has_selfie and not has_time:
        yield (*where, "selfie_collected_at"), "selfie_time_missing", {}
    if has_time and not has_selfie:
        yield (*where, "selfie_collected_at"), "selfie_time_without_selfie", {}
    acts = _has_role(beneficiary, "Director") or _has_role(beneficiary, "Representative")
    if acts and not has_selfie:
        yield (*where, "selfie"), "selfie_missing", {}


def _shares(beneficiaries: list[object]) -> Decimal:
    """Add up the shares of the ultimate beneficial owners, as far as they are shares."""
    owners = (_get(owner, "share_percentage") for owner in beneficiaries if _has_role(owner, "UltimateBeneficialOwner"))
    return sum((Decimal(share) for share in owners if isinstance(share, str) and _PERCENTAGE.match(share)), Decimal(0))


def _has_role(beneficiary: object, role: str) -> bool:
    roles = _get(beneficiary, "roles")
    return isinstance(roles, list) and role in roles


def _may_have_role(beneficiary: object, role: str) -> bool:
    """Say whether a beneficiary has a role, or no roles that can be read: those are a problem of their own."""
    return _has_role(beneficiary, role) or not isinstance(_get(beneficiary, "roles"), list)


def _get(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
