"""The sandbox with all its doors: the provider's API, the control interface, the hosted page, the OpenAPI document."""

from collections.abc import Mapping

from ops.sandbox.core import Core
from ops.sandbox.doors import control, hosted_page, spec
from ops.sandbox.wire.answers import Answer


class Sandbox(Core):
    """A simulated provider, and what people and tests do to it. Threads may share it."""

    def handle(
        self, method: str, path: str, query: str = "", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Answer one request. The path is percent-encoded, as it stands in the request line."""
        with self.lock:
            self.run_due()
            if path.startswith("/_sandbox"):
                return control.handle(self, method, path, query, body)
            if path == spec.PATH or path.startswith(spec.PATH + "/"):
                return spec.handle(self, method, path)
            if path == hosted_page.PATH:
                return hosted_page.handle(self, method, query, body)
            return super().handle(method, path, query, headers, body)
