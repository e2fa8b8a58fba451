"""The kinds of fields that jobs are made of, and every problem a field can have.

Each problem has a stable code and one sentence with the remedy; neither ever contains the value that was given, since
nearly all of them are personal data. A format that Iron does not document is not guessed: what it may accept passes.
Texts become Unicode's composed form (NFC) before anything looks at them, so that one text is one text.
Facts: iron-api.md section 5; E.164; ISO 3166-1; RFC 4648; RFC 5321 and 5890 for domains; RFC 6532 section 3.1 for NFC.
"""

from __future__ import annotations

import binascii
import ipaddress
import unicodedata
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from pipelines.identification.countries import COUNTRIES
from pipelines.identification.moments import FIRST_COMPANY, FIRST_YEAR, wrong_day, wrong_moment
from pipelines.identification.oddities import is_error, is_mangled, is_mangled_number, is_null_word
from pipelines.keys import canonical_json, composed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Tells the time, in ms since the epoch.
Clock: TypeAlias = "Callable[[], int]"

#: Bytes of one decoded file. Iron says 10 MB; the smaller reading is accepted under both.
MAX_FILE_BYTES: Final = 10_000_000

#: Companies within companies, the customer itself included. Iron says only that the depth is limited.
MAX_COMPANY_DEPTH: Final = 5

#: Lists and objects within a field that is passed on unread: far more than any document has, and no endless ones.
MAX_UNKNOWN_DEPTH: Final = 32

#: Every problem of a job by its code: stable, since scripts and reports depend on them.
#: `{...}` is filled from the rule, never from the value.
TEXTS: Final[dict[str, str]] = {
    "attestation_incomplete": "Give attesting_party true and attested_at together, or neither.",
    "attesting_party_not_allowed": "Only a person who is a Director of the customer itself attests: set it there.",
    "consent_missing": "Iron may receive these data only with the customer's consent: collect it and send true.",
    "customer_type_mismatch": "This does not fit customer_type: for a {customer_type} use Link or {allowed}.",
    "data_url_prefix": "Send the base64 text alone, without the `data:...;base64,` in front of it.",
    "doubled_field": "An object names a field twice: remove one of them.",
    "edd_not_for_business": "Enhanced due diligence is for persons only: leave with_edd out or set it to false.",
    "empty": "This must not be empty: fill it in, or leave the field out if it is optional.",
    "file_name_without_extension": "Give the file name with its extension, as in passport.jpg.",
    "file_too_large": "A file may have at most 10 MB: send a smaller scan.",
    "in_the_future": "This is in the future: give it once it has happened, and check the sender's clock.",
    "invalid": "This value is not valid here: compare it with the documented shape of a job.",
    "lost_character": "A character was lost on the way and stands as U+FFFD: take the text from its source again.",
    "mangled_value": "A spreadsheet or program changed this, as in 1.23E+05, #REF! or a date: take it from its source.",
    "nested_too_deep": "Companies may be nested at most {limit} deep: give the owners further up directly.",
    "no_director": "Each company needs at least one beneficiary with the role Director: add one.",
    "not_a_boolean": "Give true or false, without quotes.",
    "not_a_business_phone": "Give 5 to 20 digits, with +, blanks, brackets, hyphens, dots or slashes between them.",
    "not_a_country": "Give the two capital letters of ISO 3166-1, as in DE; XK for Kosovo.",
    "not_a_date": "Give a date that exists as YYYY-MM-DD, as in 1990-12-31.",
    "not_a_file_in_base64": "Give the file's bytes in standard base64 (RFC 4648), padded, in one line.",
    "not_a_json_value": "Give what JSON can carry: finite numbers, whole characters, at most {limit} levels.",
    "not_a_list": "Give a list in square brackets.",
    "not_a_percentage": 'Give a decimal number from 0 to 100 as text, as in "33.5".',
    "not_a_phone_number": "Give the number in E.164: a plus, the country code, digits alone, as in +4930123456.",
    "not_a_time_with_offset": "Give RFC 3339 with offset, as in 2026-11-22T10:00:00Z or 2026-11-22T11:00:00+01:00.",
    "not_a_timestamp": "Give UTC as YYYY-MM-DDTHH:MM:SSZ, as in 2026-11-22T10:00:00Z.",
    "not_a_uk_postcode": "Give the whole UK postcode, as in SW1A 1AA, or correct the country.",
    "not_a_uuid": "Give a UUID with hyphens, as in 123e4567-e89b-42d3-a456-426614174000.",
    "not_an_email": "Give one e-mail address, as in ada@example.com, of at most 254 characters.",
    "not_an_ip_address": "Give an IPv4 or IPv6 address, as in 203.0.113.7.",
    "not_an_object": "Give an object in braces.",
    "not_one_of": "Give one of: {expected}.",
    "null_word": "This is a word for an empty cell: leave the field empty, or give its real value.",
    "not_printable": "Use printable characters only, with no space at either end.",
    "not_text": "Give text in quotes.",
    "missing": "This field is required: add it.",
    "selfie_missing": "A Director or Representative needs a selfie: add it with selfie_collected_at.",
    "selfie_time_missing": "A selfie needs the time it was taken: add selfie_collected_at.",
    "selfie_time_without_selfie": "A time without its selfie: add the selfie, or leave selfie_collected_at out.",
    "shares_over_100": "The shares of a company's UltimateBeneficialOwners exceed 100 together: correct them.",
    "tax_number_missing": "The owner of a sole proprietorship needs a tax_identification_number: add it.",
    "too_few": "Give at least {min_length}.",
    "too_long_ago": "This is before the year {year}: correct the year.",
    "too_long": "Give at most {max_length} characters.",
    "too_many": "Give at most {max_length}.",
    "us_tax_number_missing": "Citizens and residents of the USA need a tax_identification_number (SSN, ITIN): add it.",
    "unknown_field": "This field is not known here: correct its spelling or remove it.",
}


def refuse(code: str, **rule: Any) -> NoReturn:
    """Raise the problem `code`, inside a pydantic validator; `rule` fills its text."""
    raise PydanticCustomError(code, TEXTS[code], rule)


def _composed(value: Any) -> Any:
    return composed(value) if isinstance(value, str) else value


class Shape(BaseModel):
    """An object of a job: never changed, no undeclared fields, and shown without its values, which are personal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()


def _passed_on(value: Any, info: ValidationInfo) -> Any:
    """Refuse a field that this release does not know, unless the rules of the job pass it on to Iron as it is."""
    if (info.context or {}).get("unknown_fields") != "pass":
        refuse("unknown_field")
    try:
        if _is_nested(value, MAX_UNKNOWN_DEPTH):
            raise ValueError  # noqa: TRY301  # one answer for all
        canonical_json(value)
    except (TypeError, ValueError):
        limit = {"limit": MAX_UNKNOWN_DEPTH}
        raise PydanticCustomError("not_a_json_value", TEXTS["not_a_json_value"], limit) from None
    return value


def _is_nested(value: object, limit: int) -> bool:
    """Say whether lists and objects stand deeper in each other than so many levels."""
    if not isinstance(value, (dict, list, tuple)):
        return False
    within = value.values() if isinstance(value, dict) else value
    return not limit or any(_is_nested(part, limit - 1) for part in within)


Unknown = Annotated[Any, AfterValidator(_passed_on)]


class Details(Shape):
    """An object of an identification. What stands in it beside the declared fields is refused or passed on unchanged.

    Which of the two, the context of the validation says (`unknown_fields`: "refuse" or "pass"); nothing: refused.
    """

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, Unknown] = Field(init=False)

    def written(self) -> dict[str, Any]:
        """Write it as JSON has it, without nulls of declared fields: only of those is it known that they may go."""
        shape = self.model_dump(mode="json", exclude_none=True)
        _keep_nulls(self, shape)
        return shape


def _keep_nulls(value: object, shape: Any) -> None:
    """Put the nulls of undeclared fields back into what was written of a value."""
    if isinstance(value, Details):
        shape |= dict.fromkeys(name for name, part in (value.model_extra or {}).items() if part is None)
        for name, part in value.__dict__.items():
            _keep_nulls(part, shape.get(name))
    elif isinstance(value, list):
        for part, written in zip(value, shape, strict=True):
            _keep_nulls(part, written)


#: Printable characters, spaces only inside: what a header, a table cell and a line of a log carry without change.
PRINTABLE: Final = r"^[^\p{C}\p{Z}](?:(?:[^\p{C}\p{Z}]| )*[^\p{C}\p{Z}])?$"

#: A name or an address in any script: joiners and all, but no control characters, no line breaks,
#: nothing that turns the direction of what follows.
VISIBLE: Final = (
    r"^[^\p{Cc}\p{Zl}\p{Zp}\x{202A}-\x{202E}\x{2066}-\x{2069}]*[^\p{C}\p{Z}]"
    r"[^\p{Cc}\p{Zl}\p{Zp}\x{202A}-\x{202E}\x{2066}-\x{2069}]*$"
)

#: Text over several lines.
PROSE: Final = r"^[^\x00]*[^\p{C}\p{Z}][^\x00]*$"

#: One @, a dot in the domain, no spaces, no control characters, none of the signs around an address in a mail header.
#: What else an address may not have, `_real_email` says: a schema would be too long for those who read it.
_SIGN: Final = r'[^@\p{C}\p{Z}<>(),;:"\[\]\\'
EMAIL: Final = rf"^{_SIGN}]{{1,64}}@{_SIGN}.]+(?:\.{_SIGN}.]+)+$"

#: Marks of quotation that are none by Unicode's categories, and what stands for a lost character: in an address they
#: come from a word processor or a table.
_QUOTES: Final = frozenset("\u00b4\u201a\u201e\u2032\u2033\uff02\uff07\ufffd")
#: Signs of one part of a domain at most. Source: RFC 1035, section 2.3.4.
_LABEL_SIGNS: Final = 63

#: A company's number as letterheads have it: 5 to 20 digits with signs between them, and an extension. Iron's
#: schema says no more than that it is text.
BUSINESS_PHONE: Final = r"^[+(]{0,2}[0-9](?:[ ()./\-]{0,3}[0-9]){4,19}(?: ?(?:ext\.?|x|#|;ext=) ?[0-9]{1,6})?$"

E164: Final = r"^\+[1-9][0-9]{6,14}$"
UUID: Final = r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
PERCENTAGE: Final = r"^(?:100(?:\.0{1,10})?|[0-9]{1,2}(?:\.[0-9]{1,10})?)$"
FILE_NAME: Final = r"^[^\p{C}/\\]+\.[A-Za-z0-9]{1,8}$"
DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIMESTAMP: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z$"
#: RFC 3339, which lets `T` and `Z` be small.
TIME_WITH_OFFSET: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)

#: A postcode of the United Kingdom, after BS 7666: the outward part in its six forms, or that of Girobank, and the
#: inward part, whose letters are never C, I, K, M, O or V. Which letters the outward part uses is open: Royal
#: Mail adds areas (BF, BX, XX); so are capitals and the blank, since Iron says nothing of them. The postcodes of the
#: overseas territories (FIQQ 1ZZ, AI-2640) are none: these have countries of their own in ISO 3166-1.
UK_POSTCODE: Final = (
    r"^(?:[A-Za-z]{1,2}[0-9][A-Za-z0-9]? ?[0-9][ABD-HJLNP-UW-Zabd-hjlnp-uw-z]{2}|[Gg][Ii][Rr] ?0[Aa]{2})$"
)

#: A share token: letters, digits and signs of ASCII.
GRAPHIC: Final = r"^[!-~]+$"

#: What a value that does not match is told.
PATTERN_CODES: Final[dict[str, str]] = {
    PRINTABLE: "not_printable",
    VISIBLE: "not_printable",
    PROSE: "not_printable",
    EMAIL: "not_an_email",
    E164: "not_a_phone_number",
    BUSINESS_PHONE: "not_a_business_phone",
    UUID: "not_a_uuid",
    PERCENTAGE: "not_a_percentage",
    FILE_NAME: "file_name_without_extension",
    GRAPHIC: "not_printable",
    DATE: "not_a_date",
    TIMESTAMP: "not_a_timestamp",
    TIME_WITH_OFFSET: "not_a_time_with_offset",
}


def _given(value: bool) -> bool:  # noqa: FBT001  # a validator's argument
    if not value:
        refuse("consent_missing")
    return value


def _real_country(value: str) -> str:
    if value not in COUNTRIES:
        refuse("not_a_country")
    return value


def _real_date(value: str, info: ValidationInfo, *, first_year: int = FIRST_YEAR, ahead: bool = False) -> str:
    """Accept a day that exists and has begun; `ahead`: one that is yet to come, too."""
    try:
        day = date.fromisoformat(value)
    except ValueError:
        refuse("not_a_date")
    if code := wrong_day(day, None if ahead else _now_ms(info), first_year):
        refuse(code, year=first_year)
    return value


def _real_timestamp(value: str, info: ValidationInfo) -> str:
    return _happened(value, "not_a_timestamp", info)


def _real_time(value: str, info: ValidationInfo) -> str:
    return _happened(value, "not_a_time_with_offset", info)


def _happened(value: str, code: str, info: ValidationInfo) -> str:
    """Accept a moment that exists and is over."""
    try:
        at = datetime.fromisoformat(value.upper())
    except ValueError:
        refuse(code)
    if wrong := wrong_moment(at, _now_ms(info)):
        refuse(wrong, year=FIRST_YEAR)
    return value


def _now_ms(info: ValidationInfo) -> int | None:
    """Ask the context's clock, if it has one: only a job with times costs that."""
    clock: Clock | None = (info.context or {}).get("now_ms")
    return clock() if clock else None


def _real_address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        refuse("not_an_ip_address")
    if "%" in str(address):
        refuse("not_an_ip_address")
    return value


def _real_file(value: str) -> str:
    """Accept what decodes to at most MAX_FILE_BYTES bytes. The length is looked at first: a huge file costs nothing."""
    if value[:5].lower() == "data:":
        refuse("data_url_prefix")
    if len(value) // 4 * 3 - value[-2:].count("=") > MAX_FILE_BYTES:
        refuse("file_too_large")
    try:
        binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        refuse("not_a_file_in_base64")
    return value


def _whole(value: str) -> str:
    """Refuse a text of which a character was lost."""
    if "\ufffd" in value:
        refuse("lost_character")
    return value


def _no_formula(value: str) -> str:
    """Refuse what a spreadsheet shows for nothing and for a failed formula."""
    if value[:1] == "#" and is_null_word(value):
        refuse("null_word")
    if is_error(value):
        refuse("mangled_value")
    return value


def _real_name(value: str) -> str:
    if is_null_word(value, name=True):
        refuse("null_word")
    return value


def _real_id(value: str, info: ValidationInfo) -> str:
    """Refuse what can only be a mistake, unless the rules of the job let odd ids pass."""
    if (info.context or {}).get("odd_ids") == "pass":
        return value
    if is_null_word(value):
        refuse("null_word")
    if is_mangled(value):
        refuse("mangled_value")
    return value


def _real_number(value: str) -> str:
    if is_mangled_number(value):
        refuse("mangled_value")
    return value


def _real_email(value: str) -> str:
    """Refuse quotation marks, and a domain of anything but letters, digits, hyphens and dots."""
    local, _, domain = value.rpartition("@")
    labels = domain.split(".")
    quoted = local[0] in "'`" or not (local.isascii() or _QUOTES.isdisjoint(local))
    if quoted or any(unicodedata.category(sign) in ("Pi", "Pf") for sign in local if sign > "\x7f"):
        refuse("not_an_email")
    if not all(map(_is_label, labels)) or len(labels[-1]) == 1 or labels[-1].isdecimal():
        refuse("not_an_email")
    return value


def _is_label(part: str) -> bool:
    """Say whether this is a part of a domain that can exist; signs of another width are no letters of one."""
    inside = part.replace("-", "")
    if part.isascii():
        fits = inside.isalnum()
    else:
        fits = unicodedata.normalize("NFKC", part) == part and all(
            unicodedata.category(one)[0] in "LMN" for one in inside
        )
    return fits and len(part) <= _LABEL_SIGNS and "-" not in (part[0], part[-1])


def _each_once(value: Any) -> Any:
    """Refuse an object in which two names are one in the composed form."""
    if isinstance(value, dict):
        names = [composed(name) for name in value if isinstance(name, str)]
        if len(set(names)) != len(names):
            refuse("doubled_field")
    return value


def _one_segment(value: str) -> str:
    """Refuse what a path would swallow: the external id is a segment of Iron's addresses."""
    if value in (".", ".."):
        refuse("not_printable")
    return value


_NFC: Final = BeforeValidator(_composed)

Key = Annotated[
    str,
    Field(min_length=1, max_length=255, pattern=PRINTABLE),
    AfterValidator(_one_segment),
    AfterValidator(_whole),
    _NFC,
]
#: An id that is for ever: no word for an empty cell, nothing that a spreadsheet has changed.
Id = Annotated[Key, AfterValidator(_real_id)]
#: A number that an authority gave out.
Number = Annotated[Key, AfterValidator(_real_number)]
Text = Annotated[
    str,
    Field(min_length=1, max_length=255, pattern=VISIBLE),
    AfterValidator(_whole),
    AfterValidator(_no_formula),
    _NFC,
]
#: The whole name of a person or a company.
Name = Annotated[Text, AfterValidator(_real_name)]
Prose = Annotated[str, Field(min_length=1, max_length=5000, pattern=PROSE), AfterValidator(_whole), _NFC]
Email = Annotated[str, Field(min_length=1, max_length=254, pattern=EMAIL), AfterValidator(_real_email), _NFC]
ShareToken = Annotated[str, Field(min_length=1, max_length=4096, pattern=GRAPHIC)]
Phone = Annotated[str, Field(pattern=E164)]
BusinessPhone = Annotated[str, Field(pattern=BUSINESS_PHONE)]
SubPartner = Annotated[str, Field(pattern=UUID), AfterValidator(str.lower)]
Percentage = Annotated[str, Field(pattern=PERCENTAGE)]
FileName = Annotated[str, Field(max_length=255, pattern=FILE_NAME), AfterValidator(_whole), _NFC]
Country = Annotated[str, AfterValidator(_real_country)]
#: A day that has begun, of a life.
Date = Annotated[str, Field(pattern=DATE), AfterValidator(_real_date)]
#: A day that has begun, of a company's existence.
FoundingDate = Annotated[str, Field(pattern=DATE), AfterValidator(partial(_real_date, first_year=FIRST_COMPANY))]
#: A day until which something holds: it may be over, and may be far away.
LastDate = Annotated[str, Field(pattern=DATE), AfterValidator(partial(_real_date, ahead=True))]
#: A moment that is over, in UTC.
Timestamp = Annotated[str, Field(pattern=TIMESTAMP), AfterValidator(_real_timestamp)]
#: A moment that is over, with its offset.
TimeWithOffset = Annotated[str, Field(pattern=TIME_WITH_OFFSET), AfterValidator(_real_time)]
IpAddress = Annotated[str, AfterValidator(_real_address)]
File = Annotated[str, Field(min_length=1), AfterValidator(_real_file)]
LabelKey = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE), AfterValidator(_whole), _NFC]
LabelValue = Annotated[str, Field(min_length=1, max_length=128, pattern=PRINTABLE), AfterValidator(_whole), _NFC]
Consent = Annotated[bool, AfterValidator(_given)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=16), BeforeValidator(_each_once)]
