"""The HTTP gateway: the API for upstream systems, Iron's webhooks, and the probes of an orchestrator.

`create_app` makes the application from what it needs; `serve` runs it behind a port until SIGTERM. Each module of
routes has one function that takes its dependencies and gives an APIRouter. Source: contract section 6.
"""

from ops.gateway.app import Options, Peers, create_app
from ops.gateway.server import serve

__all__ = ["Options", "Peers", "create_app", "serve"]
