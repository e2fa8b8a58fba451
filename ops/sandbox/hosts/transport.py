"""The sandbox as an httpx transport: a client's calls end in this process, and time is the test's.

With a `ManualClock` a slow answer moves the clock forward instead of sleeping.
"""

import httpx

from ops.sandbox.core import Sandbox
from ops.sandbox.world.clock import ManualClock

_TIMEOUT = "the sandbox did not answer in time"


class SandboxTransport(httpx.BaseTransport):
    """Answer a synchronous client's requests from a sandbox.

    Raises httpx.ReadError and httpx.ReadTimeout where a fault says that no answer arrives, and ReadTimeout for an
    answer that is slower than the client's read timeout; the effect has then happened, unless the fault says
    otherwise.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        answer = self.sandbox.handle(request.method, path, query, dict(request.headers), request.read())
        timeout_s = request.extensions.get("timeout", {}).get("read")
        if answer.lost == "reset":
            raise httpx.ReadError("the connection was closed without an answer", request=request)
        slow = timeout_s is not None and answer.delay_s > timeout_s
        if answer.lost == "timeout" or slow:
            self._pass(timeout_s or 0.0)
            raise httpx.ReadTimeout(_TIMEOUT, request=request)
        self._pass(answer.delay_s)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body, request=request)

    def _pass(self, seconds: float) -> None:
        """Let the time pass that the client has waited."""
        if seconds and isinstance(self.sandbox.clock, ManualClock):
            self.sandbox.clock.advance(seconds)
