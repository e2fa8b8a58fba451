"""What the sandbox serves, as an OpenAPI document made from the routes, at the root of the host (section 1.2).

It names paths, headers, parameters and answers in our own words; it is not the provider's document.
"""

import re
from typing import TYPE_CHECKING

from ops.sandbox.api.answers import Answer, answer_json, refuse
from ops.sandbox.api.routes import ROUTES, Route

if TYPE_CHECKING:
    from ops.sandbox.core import Sandbox

PATH = "/spec"
#: The version of a call that names none.
DEFAULT_VERSION = "2025-03-13"

_HEADER = {"in": "header", "schema": {"type": "string"}}
_VERSION = {"name": "X-API-Version", "required": False, **_HEADER}
_KEY = {"name": "IDEMPOTENCY-KEY", "required": True, **_HEADER}
_SUB_PARTNER = {"name": "X-SUB-PARTNER-ID", "required": False, **_HEADER}


def handle(sandbox: "Sandbox", method: str, path: str) -> Answer:
    """Answer `/spec`, `/spec/versions` and `/spec/{version}`; no key is asked for."""
    versions = sandbox.switches.known_versions
    name = path.removeprefix(PATH).strip("/")
    if method not in {"GET", "HEAD"}:
        return refuse(405, "method not allowed")
    if name == "versions":
        listed = [{"version": one, "spec": f"{PATH}/{one}"} for one in versions]
        return answer_json(200, {"default": DEFAULT_VERSION, "versions": listed})
    if name and name not in versions:
        return refuse(404, "not found")
    return answer_json(200, document(name or DEFAULT_VERSION))


def document(version: str) -> dict[str, object]:
    """Write the document of a version; all versions have the same routes."""
    paths: dict[str, dict[str, object]] = {}
    for route in ROUTES:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "A sandbox in Iron's place", "version": version},
        "servers": [{"url": "/api"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}},
    }


def _operation(route: Route) -> dict[str, object]:
    """Write one endpoint."""
    names = re.findall(r"{(\w+)}", route.template)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    parameters += [_VERSION, *([_KEY] if route.keyed else []), *([_SUB_PARTNER] if route.scoped else [])]
    operation: dict[str, object] = {
        "operationId": route.operation,
        "summary": (route.endpoint.__doc__ or "").partition("\n")[0],
        "parameters": parameters,
        "responses": {
            str(route.status): {"description": "Done."},
            "4XX": {"description": "Refused; the body says why, usually as a JSON string."},
            "500": {"description": "A fault; the body has `message` and `trace_id`."},
        },
    }
    if route.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return operation
