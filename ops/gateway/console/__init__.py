"""The operator's console: what is the case, in plain words, and the acts that a role allows.

Pages are made on the server and work without JavaScript; a small script of our own only keeps them fresh. Whoever has
an API token may look; what else, says the one table of roles in ops/gateway/access.py.
"""

from ops.gateway.console.desk import Desk
from ops.gateway.console.routes import routes
from ops.gateway.console.session import Sessions

__all__ = ["Desk", "Sessions", "routes"]
