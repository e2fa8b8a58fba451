"""One delivery of one event: signed, sent to an address that was judged, and what the answer means for what follows.

The body is a CloudEvent in JSON format, the headers are Standard Webhooks'. Nothing of an answer but its status is
looked at, redirects are not followed, and neither bodies nor secrets nor addresses are logged.
Sources: CloudEvents 1.0 HTTP binding (structured mode), standardwebhooks.com.
"""

from __future__ import annotations

import json
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import cast

import httpx
from standardwebhooks import Webhook

from pipelines.events import Event
from pipelines.pauses import retry_after_s
from workers.addresses import AddressRefusedError, Resolve, Target, look_up, target

MEDIA_TYPE = "application/cloudevents+json"
#: Type of the event that `onboarding endpoints test` sends.
TEST_TYPE = "onboarding.test"

#: A delivery's time limits, in seconds: Standard Webhooks asks for 15 to 30 in all.
TIMEOUT = httpx.Timeout(15.0, connect=5.0)
#: A body beyond this is not read, in bytes: the connection is given up instead.
ANSWER_BYTES = 16_384


class Verdict(StrEnum):
    """What an answer means."""

    ACCEPTED = "accepted"  # 2xx: the endpoint has it
    REFUSED = "refused"  # any other status below 500: this event; a redirect too
    FAULT = "fault"  # 5xx, or no whole answer: this event, or all of them
    BUSY = "busy"  # 429, or 503 with Retry-After: later
    GONE = "gone"  # 410: no more events, please
    UNREACHABLE = "unreachable"  # nothing was sent: the endpoint is away


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one delivery. `why` is for people: a status or the name of an error."""

    verdict: Verdict
    why: str
    retry_after_s: float | None = None


def new_secret() -> str:
    """Make a signing secret: 32 random bytes in the form of Standard Webhooks."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


def body_of(event: Event, source: str) -> bytes:
    """Write the body of an event's delivery, the same at every attempt."""
    return json.dumps(event.cloud_event(source), ensure_ascii=False, separators=(",", ":")).encode()


def test_body(id_: str, source: str, now_s: float) -> bytes:
    """Write the body of a test: a CloudEvent of a type of its own, about no onboarding."""
    told = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": TEST_TYPE,
        "time": datetime.fromtimestamp(int(now_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "datacontenttype": "application/json",
        "data": {},
    }
    return json.dumps(told, separators=(",", ":")).encode()


class Sender:
    """Delivers to one endpoint. Deliveries may run in several threads at once."""

    def __init__(
        self,
        transport: httpx.BaseTransport,
        *,
        private: bool,
        resolve: Resolve = look_up,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`private`: private networks are allowed. `clock`: seconds, for the timestamp that is signed."""
        self._transport = transport
        self._private = private
        self._resolve = resolve
        self._clock = clock

    def aim(self, url: httpx.URL) -> Target | Answer:
        """Look up and judge where to deliver now; an answer when that is nowhere."""
        try:
            return target(url, private=self._private, resolve=self._resolve)
        except AddressRefusedError:
            return Answer(Verdict.UNREACHABLE, "address not allowed")
        except (OSError, UnicodeError):
            return Answer(Verdict.UNREACHABLE, "name not found")

    def send(self, at: Target, id_: str, body: bytes, keys: Sequence[str]) -> Answer:
        """Deliver a body once. `keys`: the secrets to sign with; each adds a signature."""
        now = datetime.fromtimestamp(int(self._clock()), UTC)
        headers = {
            "Content-Type": MEDIA_TYPE,
            "User-Agent": "iron-onboarding/1",
            "webhook-id": id_,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(Webhook(key).sign(id_, now, body.decode()) for key in keys),
        }
        try:
            response = self._transport.handle_request(at.request(body, headers, TIMEOUT))
            try:
                _drain(response)
            finally:
                response.close()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            return Answer(Verdict.UNREACHABLE, type(error).__name__)
        except httpx.TransportError as error:
            return Answer(Verdict.FAULT, type(error).__name__)
        answered_at = format_datetime(datetime.fromtimestamp(self._clock(), UTC), usegmt=True)
        pause_s = retry_after_s(response.headers.get("retry-after"), response.headers.get("date", answered_at))
        return _judged(response.status_code, pause_s)


def _drain(response: httpx.Response) -> None:
    """Read a short body, so that the connection can be used again; a long one costs the connection."""
    read = 0
    for chunk in cast("httpx.SyncByteStream", response.stream):
        read += len(chunk)
        if read > ANSWER_BYTES:
            return


def _judged(status: int, retry_after_s: float | None) -> Answer:
    why = f"HTTP {status}"
    if httpx.codes.is_success(status):
        return Answer(Verdict.ACCEPTED, why)
    if status == httpx.codes.GONE:
        return Answer(Verdict.GONE, why)
    unavailable = status == httpx.codes.SERVICE_UNAVAILABLE and retry_after_s is not None
    if status == httpx.codes.TOO_MANY_REQUESTS or unavailable:
        return Answer(Verdict.BUSY, why, retry_after_s)
    return Answer(Verdict.FAULT if httpx.codes.is_server_error(status) else Verdict.REFUSED, why)
