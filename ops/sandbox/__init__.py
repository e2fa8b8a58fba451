"""The Iron sandbox: a simulator of the provider's onboarding API, for tests, demos and upstream developers.

`Sandbox` is the whole thing without a server; `SandboxTransport` puts it behind an httpx client; `server.serve`
behind a port.
"""

from ops.sandbox.answers import Answer
from ops.sandbox.clock import ManualClock, SystemClock
from ops.sandbox.core import Sandbox
from ops.sandbox.drawing import draw
from ops.sandbox.faults import Fault
from ops.sandbox.switches import Switches
from ops.sandbox.transport import SandboxTransport
from ops.sandbox.webhooks import WebhookSettings, sign

__all__ = [
    "Answer",
    "Fault",
    "ManualClock",
    "Sandbox",
    "SandboxTransport",
    "Switches",
    "SystemClock",
    "WebhookSettings",
    "draw",
    "sign",
]
