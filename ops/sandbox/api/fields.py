"""The forms of single fields in request bodies: addresses of people and machines, dates, countries, files.

Messages name the rule and never the value, because values are personal data.
"""

import base64
import binascii
import ipaddress
import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationInfo

#: The documented limit of one file, in bytes after decoding.
LARGEST_FILE = 10 * 1024 * 1024

EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})")

#: ISO 3166-1 alpha-2, and XK, which everybody uses for Kosovo.
_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
    "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK "
    "FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR "
    "IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK "
    "ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF "
    "TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
)
COUNTRIES = frozenset(_CODES.split())


class Strict(BaseModel):
    """A body that has only its documented fields, each of its own JSON type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _email(text: str) -> str:
    """Accept an address whose domain could exist."""
    if EMAIL.fullmatch(text) is None or text.lower().endswith((".local", ".localhost")):
        raise ValueError("not a valid e-mail address")
    return text


def _phone(text: str) -> str:
    """Accept E.164."""
    if PHONE.fullmatch(text) is None:
        raise ValueError("not a phone number in E.164 form")
    return text


def _ip(text: str) -> str:
    """Accept IPv4 and IPv6."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("not an IP address") from None
    return text


def _country(text: str) -> str:
    """Accept ISO 3166-1 alpha-2 in upper case."""
    if text not in COUNTRIES:
        raise ValueError("not an ISO 3166-1 alpha-2 country code")
    return text


def _calendar_date(text: str) -> str:
    """Accept a calendar date."""
    _day(text)
    return text


def _past_date(text: str, info: ValidationInfo) -> str:
    """Accept a calendar date before today."""
    if _day(text) > _now(info).date():
        raise ValueError("lies in the future")
    return text


def _day(text: str) -> date:
    """Read a date."""
    try:
        if DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("not a date of the form YYYY-MM-DD")


def _timestamp(text: str) -> str:
    """Accept ISO 8601 with an offset."""
    _moment(text)
    return text


def _utc_timestamp(text: str) -> str:
    """Accept ISO 8601 in UTC, written with Z."""
    _moment(text)
    if not text.endswith("Z"):
        raise ValueError("not a UTC timestamp with Z")
    return text


def _past_timestamp(text: str, info: ValidationInfo) -> str:
    """Accept ISO 8601 with an offset, before now."""
    if _moment(text) > _now(info):
        raise ValueError("lies in the future")
    return text


def _moment(text: str) -> datetime:
    """Read a timestamp."""
    try:
        if TIME.fullmatch(text.upper()):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    raise ValueError("not an ISO 8601 timestamp with offset")


def _now(info: ValidationInfo) -> datetime:
    """Return the sandbox's time, which every body is read with."""
    context = info.context or {}
    return datetime.fromtimestamp(context["now"], UTC) if "now" in context else datetime.now(UTC)


def _file(text: str) -> str:
    """Accept base64 without a data-URL prefix, of at most 10 MB."""
    if text.startswith("data:"):
        raise ValueError("base64 must come without a data-URL prefix")
    try:
        size = len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if not 0 < size <= LARGEST_FILE:
        raise ValueError("a file must have 1 byte to 10 MB")
    return text


def _share(text: str) -> str:
    """Accept a decimal from 0 to 100, written as a string."""
    try:
        share = Decimal(text)
    except InvalidOperation:
        raise ValueError("not a decimal number") from None
    if not (share.is_finite() and 0 <= share <= 100):
        raise ValueError("not from 0 to 100")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Email = Annotated[str, AfterValidator(_email)]
Phone = Annotated[str, AfterValidator(_phone)]
Ip = Annotated[str, AfterValidator(_ip)]
Country = Annotated[str, AfterValidator(_country)]
Date = Annotated[str, AfterValidator(_calendar_date)]
PastDate = Annotated[str, AfterValidator(_past_date)]
Timestamp = Annotated[str, AfterValidator(_timestamp)]
UtcTimestamp = Annotated[str, AfterValidator(_utc_timestamp)]
PastTimestamp = Annotated[str, AfterValidator(_past_timestamp)]
File = Annotated[str, AfterValidator(_file)]
Share = Annotated[str, AfterValidator(_share)]
