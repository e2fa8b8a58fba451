"""What can go wrong, split by what is known about the effect on Iron.

    OnboardingError
    ├── IronError                    a call to Iron gave no answer that a step can use
    │   ├── NotAppliedError          Iron did not act: call again, same key
    │   │   ├── UnreachableError         no connection was made
    │   │   └── RateLimitedError         429; says for how long
    │   ├── OutcomeUnknownError      Iron may have acted: same key and bytes, or look
    │   │   ├── AnswerLostError          the request may have left, no answer came back
    │   │   ├── AnswerUnreadableError    an answer came, and it makes no sense
    │   │   ├── ServerFaultError         5xx; may be stored and replayed for a day
    │   │   └── ConflictError            409: in flight, another body under this key, or the wrong state
    │   ├── NotFoundError            404: Iron does not (yet) know this id
    │   ├── RequestRefusedError      400, 413, 415, 422 and other 4xx: ours to fix
    │   └── AccessRefusedError       401, 403: stop and tell an operator
    ├── RenewedError                 the key has a new generation, which is committed before it is used
    ├── HeldBackError                our own budget, a pause or the breaker let no call leave now
    ├── ArchiveRefusedError          Iron did not archive what a person wanted archived
    ├── NothingDueError              the customer's status asks for something that Iron lists nothing of
    ├── SettlingError                a look-up counts only when the settle time has passed since the last call
    ├── StaleClaimError              the lease is over, or somebody else holds the record now
    │   └── ClockJumpedError             this process's clock has stood still or jumped since the claim
    └── InputLostError               the encrypted input is gone or no key of the ring opens it
        └── KeyMissingError              the key that sealed it is not on this process's ring

Whether a repetition can help sits on the class (`retryable`), and whether it is the weather rather than this onboarding
(`weather`); the docstring is the default message. A message never holds personal data: an answer's body is not part of
it.
"""

from __future__ import annotations

#: Answers that may be about the details which a request carries. Any other refusal is about the request's form: its
#: method, its headers, its address.
ABOUT_DETAILS = frozenset({400, 413, 422})


class OnboardingError(Exception):
    """Something in the pipeline went wrong."""

    #: Stable name of the problem, as records, logs and metrics show it.
    code = "onboarding_error"
    #: Whether the same thing may succeed later without anybody changing anything.
    retryable = False
    #: Whether a person at the partner has to hear of it.
    operator = False
    #: Whether it tells of trouble at Iron or on the way to it rather than of this onboarding: it is no failed attempt.
    weather = False

    def __init__(self, message: str | None = None) -> None:
        """Take the class's docstring as the message unless one is given."""
        super().__init__(message or (type(self).__doc__ or "").strip())


class IronError(OnboardingError):
    """Iron gave no answer that this step can use."""

    code = "iron_error"

    #: Whether it answers a call that would have changed something: the answer to a read says nothing about the job.
    of_effect = False

    #: Iron's own code of what is wrong, where it gives one, such as country_not_supported.
    iron_code = ""

    def __init__(self, message: str | None = None, *, status: int | None = None, said: str = "") -> None:
        """Keep the HTTP status, where there was one, and what Iron said: that may hold personal data."""
        super().__init__(message)
        self.status = status
        self.said = said

    @property
    def concerns_caller(self) -> bool:
        """Whether Iron refused the caller rather than this job: its key, its API version, its address."""
        return False


class NotAppliedError(IronError):
    """Iron did not act on the request."""

    code = "not_applied"
    retryable = True


class UnreachableError(NotAppliedError):
    """No connection to Iron could be made."""

    code = "iron_unreachable"
    weather = True


class RateLimitedError(NotAppliedError):
    """Iron answered 429: too many requests."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, *, status: int = 429, retry_after_s: float | None = None) -> None:
        """Keep how long Iron asks us to wait, in seconds, or None where it does not say."""
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


class OutcomeUnknownError(IronError):
    """We do not know whether Iron executed the request."""

    code = "outcome_unknown"
    retryable = True


class AnswerLostError(OutcomeUnknownError):
    """The request may have reached Iron, but no answer came back."""

    code = "answer_lost"
    weather = True


class AnswerUnreadableError(OutcomeUnknownError):
    """Iron's answer does not match its documentation."""

    code = "answer_unreadable"


class ServerFaultError(OutcomeUnknownError):
    """Iron had an internal error."""

    code = "iron_fault"
    weather = True


class ConflictError(OutcomeUnknownError):
    """Iron answered 409: a conflict with something that exists or is in flight."""

    code = "iron_conflict"


class NotFoundError(IronError):
    """Iron does not know this id (yet)."""

    code = "not_found"
    retryable = True


class RequestRefusedError(IronError):
    """Iron rejected the request."""

    code = "request_refused"
    retryable = True

    @property
    def concerns_caller(self) -> bool:
        """A read carries no details of a job; and of the rest only some answers can be about details."""
        return not self.of_effect or self.status not in ABOUT_DETAILS


class AccessRefusedError(IronError):
    """Iron denied access. Check the API key, its role and the sub-partner."""

    code = "access_refused"
    retryable = True

    @property
    def concerns_caller(self) -> bool:
        """Access is the caller's."""
        return True


class RenewedError(OnboardingError):
    """The same fault came again after the settle time, and nothing is there: the key has a new generation."""

    code = "key_renewed"
    retryable = True


class HeldBackError(OnboardingError):
    """Calls to Iron are on hold. No call was made."""

    code = "held_back"
    retryable = True

    def __init__(self, message: str | None = None, *, reason: str = "budget", retry_after_s: float = 1.0) -> None:
        """Keep what holds it back (paused, closed, open, budget), and the seconds for which it does at least."""
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class ArchiveRefusedError(OnboardingError):
    """Iron did not archive it. Nothing changed there; ask Iron why, or ask for it again."""

    code = "archive_refused"
    operator = True


class NothingDueError(OnboardingError):
    """Iron's status asks for signatures, and Iron lists no document to sign."""

    code = "nothing_due"
    retryable = True


class SettlingError(OnboardingError):
    """The last call is too recent to trust what Iron shows."""

    code = "settling"
    retryable = True


class StaleClaimError(OnboardingError):
    """The claim on this record is over: its lease ended, or another worker holds it."""

    code = "stale_claim"
    retryable = True


class ClockJumpedError(StaleClaimError):
    """This process's clock has not gone on like the ledger's since the claim, so what it says about time is wrong."""

    code = "clock_jumped"


class InputLostError(OnboardingError):
    """The stored details cannot be read. Restore the old key in ONBOARDING_ENCRYPTION_KEYS, or correct the job."""

    code = "input_lost"
    operator = True


class KeyMissingError(InputLostError):
    """The key of the stored input is not in ONBOARDING_ENCRYPTION_KEYS: put it back, and this goes on by itself."""

    code = "key_missing"
    retryable = True

    @classmethod
    def of(cls, key_id: str) -> KeyMissingError:
        """Name the key by its id, which is no secret."""
        return cls((cls.__doc__ or "").replace("The key", f"The key {key_id}", 1))
