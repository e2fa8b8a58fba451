"""A receiver of events, to copy from: it imports nothing of this project, only the package `standardwebhooks`.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_... python receiver.py 8702

It verifies the signature on the raw bytes, answers 2xx before any work, and shows the two rules of a good receiver: an
event may come more than once (the id tells), and one that is older than what you know already is no news (the sequence
tells, a text that grows with each event of an onboarding).
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
lock = Lock()
#: In earnest these two are tables of your database, written in the transaction that takes the event.
seen: set[str] = set()
newest: dict[str, str] = {}


class Receiver(BaseHTTPRequestHandler):
    """Takes events at any path."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Verify, take, answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            event = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError:
            self.answer(401)
            return
        with lock:
            self.take(event)
        self.answer(204)

    def take(self, event: dict[str, object]) -> None:
        """Take an event once, and only if it is news; then read the onboarding with your own token."""
        subject, sequence = str(event.get("subject")), str(event.get("sequence", ""))
        if event["id"] in seen or sequence <= newest.get(subject, ""):
            return
        seen.add(str(event["id"]))
        newest[subject] = sequence
        print(json.dumps(event), flush=True)  # here your work begins: GET /v1/onboardings/{subject}

    def answer(self, status: int) -> None:
        """Answer without a body."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no line for each request."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
