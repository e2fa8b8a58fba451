"""Imports: how far each is, when it will be through; pausing, resuming and cancelling it."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from ops.gateway import pages
from ops.gateway.http.request_log import note
from ops.gateway.pages.console.desk import Desk
from ops.gateway.pages.console.page import Form, PageError, Present, must, rendered
from ops.gateway.pages.console.words import ENTER_A_REASON, IMPORT_ACTS, IMPORT_STATES, PHASES, ImportAct
from workers.imports.imports import Import, Imports, NoSuchImportError


def add(router: APIRouter, desk: Desk) -> None:
    """Add the pages."""
    imports = Imports(desk.ledger)

    @router.get("/console/imports")
    def all_imports(request: Request, present: Present) -> Response:
        now_ms = desk.ledger.now_ms()
        return rendered(request, "imports.html", present, now_ms=now_ms, imports=imports.all(), states=IMPORT_STATES)

    @router.get("/console/import")
    def one_import(request: Request, present: Present, name: str, done: str = "") -> Response:
        one = _found(imports, name)
        acts = [
            (key, act) for key, act in IMPORT_ACTS.items() if one.state in act.when and present.caller.may(act.route)
        ]
        return rendered(
            request,
            "import.html",
            present,
            now_ms=desk.ledger.now_ms(),
            one=one,
            state=IMPORT_STATES[one.state],
            acts=acts,
            phases=PHASES,
            done=IMPORT_ACTS[done].label if done in IMPORT_ACTS else "",
        )

    @router.get("/console/import/act")
    def confirm(request: Request, present: Present, name: str, act: str) -> Response:
        must(present.caller, _chosen(act).route)
        return _confirmation(request, present, _found(imports, name), act, missing=False)

    @router.post("/console/import/act")
    def do(request: Request, present: Present, form: Form) -> Response:
        name, key, reason = form.get("name", ""), form.get("act", ""), form.get("reason", "").strip()
        act = _chosen(key)
        must(present.caller, act.route)
        one = _found(imports, name)
        if one.state not in act.when or (act.reason and not reason):
            return _confirmation(request, present, one, key, missing=act.reason and not reason)
        _do(imports, key, name, present.caller.name, reason)
        note(request, outcome=f"{key}_import")
        return pages.see(f"{_address_of(name)}&{urlencode({'done': key})}")


def _do(imports: Imports, key: str, name: str, by: str, reason: str) -> None:
    match key:
        case "pause":
            imports.pause(name, by=by, reason=reason)
        case "resume":
            imports.resume(name)
        case _:
            imports.cancel(name, by=by, reason=reason)


def _address_of(name: str) -> str:
    """Return the address of an import's page."""
    return f"/console/import?{urlencode({'name': name})}"


def _found(imports: Imports, name: str) -> Import:
    try:
        return imports.get(name)
    except NoSuchImportError as error:
        raise PageError(404, "No such import", str(error)) from None


def _chosen(act: str) -> ImportAct:
    if act not in IMPORT_ACTS:
        raise PageError(404, "Unknown action", "Go back and choose one of the buttons.")
    return IMPORT_ACTS[act]


def _confirmation(request: Request, present: Present, one: Import, key: str, *, missing: bool) -> Response:
    act = IMPORT_ACTS[key]
    why_not = None if one.state in act.when else f"The import is {IMPORT_STATES[one.state][0].lower()}."
    return rendered(
        request,
        "import_act.html",
        present,
        status=409 if why_not else 422 if missing else 200,
        one=one,
        act=act,
        to="/console/import/act",
        back=_address_of(one.name),
        subject=one.name,
        fields={"name": one.name, "act": key},
        hint="Visible to everybody here. No personal data.",
        why_not=why_not,
        mistakes=[ENTER_A_REASON] if missing else [],
        reason="",
    )
