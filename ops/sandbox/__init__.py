"""The Iron sandbox: a simulator of the provider's onboarding API, for tests, demos and upstream developers.

`Sandbox` is the whole thing without a server; `SandboxTransport` puts it behind an httpx client; `server.serve`
behind a port.
"""

from ops.sandbox.api.answers import Answer
from ops.sandbox.core import Sandbox
from ops.sandbox.hosts.transport import SandboxTransport
from ops.sandbox.lab.drawing import draw
from ops.sandbox.lab.faults import Fault
from ops.sandbox.world.clock import ManualClock, SystemClock
from ops.sandbox.world.outbox import WebhookSettings, sign
from ops.sandbox.world.switches import Switches

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
