"""The operator's console: what is the case, in plain words, and the acts that a role allows.

Pages are made on the server and work without JavaScript; a small script of our own only keeps them fresh. Whoever has
an API token may look; what else, says the one table of roles in ops/gateway/http/access.py.
"""

from ops.gateway.pages.console.desk import Desk
from ops.gateway.pages.console.routes import routes
from ops.gateway.pages.console.session import Sessions

__all__ = ["Desk", "Sessions", "routes"]
