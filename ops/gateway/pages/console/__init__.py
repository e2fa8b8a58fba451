"""The operator's console: what is the case, in plain words, and the acts that a role allows.

Pages are made on the server and work without JavaScript; a small script of our own only keeps them fresh. Whoever has
an API token may look; what else, says the one table of roles in ops/gateway/http/access.py.

- `acting`: acts, each confirmed on a page of its own
- `desk`: what the pages work with
- `imports`: imports
- `looking`: pages that show something
- `page`: what all pages share
- `routes`: all routes, and the guard before them
- `session`: who is signed in
- `words`: the console's words
"""

from ops.gateway.pages.console.desk import Desk
from ops.gateway.pages.console.routes import routes
from ops.gateway.pages.console.session import Sessions

__all__ = ["Desk", "Sessions", "routes"]
