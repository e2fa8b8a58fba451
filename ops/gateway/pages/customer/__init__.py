"""`/go/{token}`: the customer's page. It says in plain words what is the case, and leads to Iron's hosted page.

To look costs nothing and changes nothing, however often a mail scanner does it; only the button does something.
"""

from ops.gateway.pages.customer.routes import LOOK_WITHIN_S, Visits, routes

__all__ = ["LOOK_WITHIN_S", "Visits", "routes"]
