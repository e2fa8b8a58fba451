"""The OpenAPI document: what FastAPI finds out, with the bearer token, the roles of each route and our own refusals."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ops.gateway.http.access import ACCESS, GUARDED
from ops.gateway.http.problems import SCHEMA, documented
from pipelines.job import JobRules

#: Shapes of bodies that routes name by `body_of`.
_BODIES: dict[str, type[BaseModel]] = {}

_DESCRIPTION = """Submit customers to be onboarded to Iron, follow them, and learn what to show each customer next.

Every route below `/v1/` needs a bearer token; `x-roles` says which roles may use it. Every refusal is
`application/problem+json` (RFC 9457) with a stable `code`; new codes may be added. Every answer has `X-Request-ID`; a
sane one of the caller's own is kept.
"""
#: Printable ASCII, without a space at either end.
_HEADER_VALUE = "^[!-~]([ -~]*[!-~])?$"
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token made with `onboarding tokens new NAME --role R`; the gateway knows its SHA-256 only.",
}
#: Classes of characters as the patterns of our fields name them, and as ECMA-262 does without tables of Unicode.
_CLASSES = {r"\p{Cc}": r"\u0000-\u001F\u007F-\u009F", r"\p{Zl}": r"\u2028", r"\p{Zp}": r"\u2029"}
#: FastAPI's own shapes of a refusal, which nobody ever gets.
_FOREIGN = ("HTTPValidationError", "ValidationError")


def body_of(shape: type[BaseModel], *, header: str = "") -> dict[str, Any]:
    """Describe the JSON body that a route reads by itself, and a header beside it: its `openapi_extra`."""
    _BODIES[shape.__name__] = shape
    name = f"{shape.__name__}OrHeader" if header else shape.__name__
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    described: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    if header:
        text = "The idempotency key, as a structured-field string (in quotes) or bare; the body may name it instead."
        schema = {"type": "string", "pattern": _HEADER_VALUE, "maxLength": 514}
        parameter = {"name": header, "in": "header", "required": False, "description": text, "schema": schema}
        described["parameters"] = [parameter]
    return described


def install(app: FastAPI, rules: JobRules) -> None:
    """Let the application answer with this document; it is made once, when it is first asked for."""

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _completed(
                get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes), rules
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _completed(found: dict[str, Any], rules: JobRules) -> dict[str, Any]:
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _FOREIGN:
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    pairs: Any = [(shape, "validation") for shape in _BODIES.values()]
    shapes = models_json_schema(pairs, ref_template="#/components/schemas/{model}")[1]["$defs"]
    if rules.unknown_fields == "refuse":
        _close(shapes)
    schemas |= _portable(shapes)
    job = schemas["Job"]["properties"]
    job["external_id"] = {"anyOf": [job["external_id"], {"type": "null"}]}  # null is as good as left out
    # The idempotency key of a job that is handed in may be a header instead.
    schemas["JobOrHeader"] = _without(schemas["Job"], "idempotency_key")
    components["securitySchemes"] = {"bearer": _TOKEN}
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _complete(operation, f"{method.upper()} {path}", guarded=path.startswith(GUARDED))
    return found


def _close(shapes: dict[str, Any]) -> None:
    """Write down that the objects of an identification have no other fields, where those are refused."""
    for shape in shapes.values():
        if shape.get("additionalProperties") == {}:
            shape["additionalProperties"] = False


def _portable(schema: Any) -> Any:
    """Write the patterns of our fields in what every reader of JSON Schema knows; they stand in values and in names."""
    if isinstance(schema, dict):
        return {_portable(name): _portable(value) for name, value in schema.items()}
    if isinstance(schema, list):
        return [_portable(value) for value in schema]
    if isinstance(schema, str):
        for ours, everybodys in _CLASSES.items():
            schema = schema.replace(ours, everybodys)
        return re.sub(r"\\x\{([0-9A-F]{4})\}", r"\\u\1", schema)
    return schema


def _without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Write a shape whose field may be left out."""
    return {**schema, "required": [one for one in schema["required"] if one != name]}


def _complete(operation: dict[str, Any], route: str, *, guarded: bool) -> None:
    answers = operation["responses"]
    own = answers.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    if own.endswith("/HTTPValidationError"):
        del answers["422"]
        answers["422"] = documented("invalid_request")[422]
    if guarded:
        operation["security"] = [{"bearer": []}]
        operation["x-roles"] = sorted(ACCESS[route])
        roles = f"Roles: {', '.join(sorted(ACCESS[route]))}."
        operation["description"] = f"{operation.get('description', '').strip()}\n\n{roles}".strip()
