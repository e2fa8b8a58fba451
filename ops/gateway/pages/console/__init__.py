"""The operators' console: each onboarding's status in plain words, and the actions that a role allows.

The server renders the pages, and they work without JavaScript; a small script only refreshes them. Any API token may
read. The table of roles in ops/gateway/http/access.py decides the rest.

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
