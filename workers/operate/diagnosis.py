"""What is wrong between us and Iron, and which setting it is likely about: the one place that says so.

A worker at its start and `onboarding doctor` make the same call; for the breaker, the status of a refusal is enough.
Neither the URL, the key nor an answer's body is part of what is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.errors import IronError, NotFoundError, RateLimitedError, UnreachableError
from pipelines.iron import Answer, Iron, answered_by

#: Makes a call to Iron, when and as the caller may.
Ask = Callable[[Callable[[Iron], object]], object]


@dataclass(frozen=True, slots=True)
class Cause:
    """The setting that a refusal is likely about, and what to do."""

    setting: str
    remedy: str


KEY = Cause(
    "IRON_API_KEY",
    "Check IRON_API_KEY: the API key is wrong, was replaced, belongs to Iron's other environment (sandbox or"
    " production), or may not read customers.",
)
VERSION = Cause(
    "IRON_API_VERSION",
    "Check IRON_API_VERSION first: Iron does not know this version, or does not serve it any more. Iron lists its"
    " versions at /spec/versions. Then check IRON_BASE_URL.",
)
ADDRESS = Cause(
    "IRON_BASE_URL",
    "Check IRON_BASE_URL: what answers there is not Iron's API. It is an address such as"
    " https://api.sandbox.iron.xyz/api.",
)
NETWORK = Cause(
    "IRON_BASE_URL",
    "Check IRON_BASE_URL, and the network on the way: name resolution, firewall, proxy, TLS certificates.",
)

#: The status of an answer to a call that carries no details of a job -> its likely cause; any other status: ADDRESS.
#: How Iron refuses a version is not documented: these are the statuses that HTTP has for it. Source: iron-api 1.2.
CAUSES = {401: KEY, 403: KEY} | dict.fromkeys((400, 406, 410, 412, 422), VERSION)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one call showed."""

    #: `refused`: by Iron, or by whatever answers in its place. `away`: it answers nothing, 429 or 5xx; no setting's
    #: fault.
    outcome: Literal["accepted", "refused", "unreachable", "away"]
    #: What came back, for people.
    text: str
    status: int | None = None
    #: The problem's stable name; None: there is none.
    code: str | None = None
    #: What is to be looked at; None: no setting is likely to be wrong.
    cause: Cause | None = None
    #: The API version that Iron says it answered by; "": it does not say, or did not accept the call.
    api_version: str = ""


def diagnosed(ask: Ask, api_version: str) -> Diagnosis:
    """Make one cheap read by `ask`, and say how Iron takes our calls; `api_version` is the one that is set.

    Raises HeldBackError where `ask` does.
    """
    answers: list[Answer] = []

    def read(iron: Iron) -> None:
        answers.clear()
        replace(iron, heard=answers.append).customers(page_size=1)

    try:
        ask(read)
    except IronError as error:
        return _of_error(error, answers[-1].status if answers else None)
    return _accepted(answered_by(answers[-1]), api_version)


def rejects_all(status: int) -> str:
    """Return the sentence that Iron rejects every call with this status, and what to do."""
    return f"Iron rejects every call (HTTP {status}). {cause_of(status).remedy}"


def cause_of(status: int) -> Cause:
    """Return the likely cause of a status other than 429 and 5xx, where it answers a call without details of a job."""
    return CAUSES.get(status, ADDRESS)


def fields(status: int | None, cause: Cause | None) -> dict[str, Any]:
    """Return what a log line tells of a problem."""
    return {"status": status} | ({"setting": cause.setting, "remedy": cause.remedy} if cause else {})


def _of_error(error: IronError, status: int | None) -> Diagnosis:
    if isinstance(error, UnreachableError):
        return Diagnosis("unreachable", str(error), code=error.code, cause=NETWORK)
    if status is None or error.weather or isinstance(error, RateLimitedError):
        return Diagnosis("away", str(error), status, error.code)
    text = f"There is nothing at this address (HTTP {status})." if isinstance(error, NotFoundError) else str(error)
    return Diagnosis("refused", text, status, error.code, cause_of(status))


def _accepted(echoed: str, api_version: str) -> Diagnosis:
    if echoed in ("", api_version):
        return Diagnosis("accepted", "Iron accepts our calls.", api_version=echoed)
    remedy = (
        f"IRON_API_VERSION is {api_version}, and Iron answers by {echoed}: fields may be missing or mean something"
        " else. Set IRON_API_VERSION to a version of Iron's list at /spec/versions."
    )
    cause = Cause("IRON_API_VERSION", remedy)
    return Diagnosis("accepted", "Iron accepts our calls.", cause=cause, api_version=echoed)
