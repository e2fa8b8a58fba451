"""What of Iron's words is a code: it says nothing about a person and is shown to everybody who reads an onboarding.

Whatever is none is a text: it may hold personal data, is kept encrypted, and is shown to those alone who may see these.
This is the one place for that rule.
"""

from __future__ import annotations

import re

#: Longest code, in characters: more than twice the longest of Iron's documents, kyb_company_beneficiaries.
LONGEST = 64

#: Words of ASCII letters that may end in up to three digits, joined by "_" or "-". Numbers of passports, taxes and
#: accounts, dates, addresses and sentences look different.
_CODE = re.compile(r"[A-Za-z]+\d{0,3}(?:[_-](?:[A-Za-z]+\d{0,3}|\d{1,3}))*")
#: A code that stands where a sentence may stand: a single word there, or one with capitals, may be a name.
_ALONE = re.compile(r"[a-z]{2,40}(?:_[a-z]{1,40}){1,7}")


def is_code(text: str) -> bool:
    """Return whether what Iron gives as a code or a label is one, such as kyc_selfie or UNSATISFACTORY_PHOTOS."""
    return len(text) <= LONGEST and _CODE.fullmatch(text) is not None


def is_code_alone(text: str) -> bool:
    """Return whether a refusal's whole text is a code, such as country_not_supported."""
    return is_code(text) and _ALONE.fullmatch(text) is not None
