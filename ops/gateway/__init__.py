"""The HTTP gateway: the API for upstream systems, Iron's webhooks, and the probes of an orchestrator.

`create_app` makes the application from what it needs; `serve` runs it behind a port until SIGTERM. Each module of
routes has one function that takes its dependencies and gives an APIRouter. Source: contract section 6.

- `api`: the API for upstream systems and operators
- `app`: the application, made from what it needs
- `http`: what is read, what is refused, who may
- `monitoring`: metrics and probes
- `nudges`: nudges sent beside the answer
- `pages`: console and customer page
- `searches`: finding onboardings for somebody
- `server`: the gateway behind a port
- `webhooks`: Iron's webhooks
"""

from ops.gateway.app import Options, Peers, create_app
from ops.gateway.server import serve

__all__ = ["Options", "Peers", "create_app", "serve"]
