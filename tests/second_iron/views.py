"""How Iron shows what it knows, and how it refuses: the JSON of its records, and the many shapes of its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx

from tests.second_iron.life import Customer, Document, Identification, Life, Signing
from tests.second_iron.questions import NONE, Draw

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
#: The partner that every record belongs to.
PARTNER_ID = "019a0000-0000-7000-8000-000000000001"
#: Steps of a Person's identification. Source: iron-api 2.6.
STEPS = {
    "Person": ("identity", "selfie", "proof_of_residence", "questionnaire"),
    "Business": ("company_data", "company_beneficiaries", "company_documents", "questionnaire"),
}


class Views:
    """Shows records, each time and each record as drawn."""

    def __init__(self, life: Life, draw: Draw) -> None:
        self.life, self.draw = life, draw

    def time(self, at: float) -> str:
        """Write a time as RFC 3339."""
        form = self.draw("timestamp")
        zone = timezone(timedelta(hours=2)) if form == "+02:00" else UTC
        precision = "microseconds" if form.startswith("micro") else "seconds"
        text = datetime.fromtimestamp(at, zone).isoformat(timespec=precision)
        return text.replace("+00:00", "Z") if form.endswith("Z") else text

    def _members(self, id_: str, required: Mapping[str, Any], optional: Mapping[str, Any]) -> dict[str, Any]:
        """Put an object together, whose optional members may be null or missing."""
        shown = dict(required)
        for name, value in optional.items():
            hidden = value is not None and self.draw("optional_value", (id_, name)) == "hidden"
            if value is not None and not hidden:
                shown[name] = value
            elif self.draw("optional_member", (id_, name)) == "null":
                shown[name] = None
        if self.draw("unknown_members") != NONE:
            shown |= {"risk_band": "B", "labels": [], "flow": {"step": 2}}
        return shown

    def customer(self, customer: Customer, status: str | None = None) -> dict[str, Any]:
        """Show a customer; `status` where it is another one than the true one."""
        newest = customer.identifications[-1] if customer.identifications else None
        ids = [identification.id for identification in customer.identifications]
        sample = {
            "id": customer.id,
            "customer_type": customer.kind,
            "status": status or customer.status,
            "created_at": self.time(customer.made_at),
            "updated_at": self.time(customer.updated_at),
        }
        if self.draw("customer_shown") == "sample":
            return sample
        required = sample | {
            "email": customer.email,
            "name": customer.name,
            "identification_ids": ids if self.draw("ids_order", customer.id) == "oldest" else ids[::-1],
            "signing_ids": [signing.id for signing in customer.signings],
            "partner_id": PARTNER_ID,
        }
        if customer.external_id is not None:
            required["external_id"] = customer.external_id
        optional = {
            "identification_status": newest.status if newest else None,
            "active_email": None,
            "spending_limit_euro": None,
        }
        return self._members(customer.id, required, optional)

    def identification(self, identification: Identification, status: str | None = None) -> dict[str, Any]:
        """Show an identification; `status` where it is another one than the true one."""
        required = {
            "id": identification.id,
            "status": status or identification.status,
            "created_at": self.time(identification.made_at),
            "updated_at": self.time(max(identification.made_at, identification.updated_at)),
            "customer_id": identification.customer.id,
        }
        url = self._url(identification)
        if url is not None:
            required["url"] = url
        declined = identification.status == "Declined"
        optional = {
            "review_comment": "The document cannot be read." if declined else None,
            "step_status": self._steps(identification),
            "with_edd": identification.edd or None,
            "partner_id": None,
            "residence_country": None,
        }
        return self._members(identification.id, required, optional | ({} if url is not None else {"url": None}))

    def _url(self, identification: Identification) -> str | None:
        """Give the link of the hosted form, as long as and however often it is another one."""
        in_use = identification.asked or identification.status == "Pending"
        ready_at = identification.made_at + self.draw("link_ready_s", identification.id)
        after = self.draw("url_after_use", identification.id)
        if not identification.linked or self.life.time() < ready_at or (not in_use and after == "cleared"):
            return None
        if self.draw("url_on_read", identification.id) == "rotated":
            identification.links += 1
        number = identification.links + (not in_use and after == "rotated")
        return f"https://verify.iron.test/start?token={identification.id[-12:]}-{number}"

    def _steps(self, identification: Identification) -> dict[str, Any] | None:
        told = self.draw("step_status", identification.id)
        names = STEPS[identification.customer.kind]
        if told == "absent":
            return None
        steps = {name: {"result": "Approved", "retry": True, "comment": None} for name in names}
        result = "Pending" if identification.asked else identification.status
        steps[names[0]] = {"result": result, "retry": not identification.final}
        return steps if told == "whole" else {names[0]: steps[names[0]]}

    def signing(self, signing: Signing, status: str | None = None) -> dict[str, Any]:
        """Show a signature. It has no status."""
        required = {
            "id": signing.id,
            "customer_id": signing.customer.id,
            "created_at": self.time(signing.made_at),
            "updated_at": self.time(signing.made_at),
            "content_id": signing.content_id,
        }
        return self._members(signing.id, required, {"document_id": None})

    def document(self, document: Document) -> dict[str, Any]:
        """Show a document to sign."""
        required = {"id": document.id, "display_name": document.title, "url": f"https://iron.test/legal/{document.id}"}
        return self._members(document.id, required, {})

    def requirements(self, customer: Customer) -> dict[str, Any]:
        """Say what is still due, and why an identification was declined."""
        flow = "kyc" if customer.kind == "Person" else "kyb"
        newest = self.life.counting(customer)
        shown: dict[str, list[Any]] = {"complete": [], "pending": [], "missing": [], "issues": []}
        if newest is None or newest.status in ("Expired", "Archived"):
            if self.draw("requirements_before") == "identification":
                shown["missing"].append(self._item(f"identification_{flow}", None, retry=True))
        elif newest.status == "Declined":
            where = self.draw("final_in") if newest.final else "missing"
            shown[where].append(
                self._item(f"{flow}_questionnaire", newest, retry=not newest.final, labels=["UNREADABLE"])
            )
        else:
            again = newest.asked or (newest.status != "Approved" and newest.was_approved)
            where = "missing" if again else "complete" if newest.status == "Approved" else "pending"
            shown[where].append(self._item(f"{flow}_data_missing", newest, retry=True if where == "missing" else None))
        due = [flow] if customer.status == "IdentificationRequired" else []
        lists = {
            name: items or (None if self.draw("requirements_empty") == "null" else []) for name, items in shown.items()
        }
        return self._members(customer.id, lists | {"requirements_due": due}, {})

    def _item(
        self, code: str, identification: Identification | None, *, retry: bool | None, labels: list[str] | None = None
    ) -> dict[str, Any]:
        said = retry is False or (retry and self.draw("retryable") == "said")
        return {
            "code": code,
            "reject_labels": labels or [],
            "reject_reasons": [{"code": label, "description": None} for label in labels or []],
            "missing_questions": [],
            "retryable": retry if said else None,
            "identification_id": identification.id if identification else None,
            "description": None,
        }

    def page(self, items: list[Any], cursor: str | None) -> dict[str, Any]:
        """Show a page of a list."""
        ends = {"cursor": None, "prev_cursor": None} if self.draw("page_end") == "null" else {}
        return {"items": items} | ends | ({"cursor": cursor} if cursor else {})

    # --- refusals ------------------------------------------------------------------------------------------------

    def refusal(self, status: int, text: str) -> httpx.Response:
        """Refuse a request, in one of the shapes that a refusal may have."""
        shape = self.draw("auth_error" if status == 401 else "error_body")
        return self._error(status, text, shape)

    def fault(self, status: int) -> httpx.Response:
        """Report a fault of Iron's own, or of something before it."""
        return self._error(status, "internal error", self.draw("fault_body"))

    def _error(self, status: int, text: str, shape: str) -> httpx.Response:
        trace = f"{self.draw.random.getrandbits(64):016x}"
        content, kind = {
            "string": (json.dumps(text), JSON),
            "text": (text, TEXT),
            "empty": ("", ""),
            "object": (json.dumps({"message": text, "trace_id": trace}), JSON),
            "html": (f"<html><body><h1>{status}</h1></body></html>", "text/html"),
        }[shape]
        return httpx.Response(status, content=content.encode(), headers={"content-type": kind} if kind else None)


def shown(status: int, value: Any) -> httpx.Response:
    """Answer with JSON."""
    return httpx.Response(status, content=json.dumps(value).encode(), headers={"content-type": JSON})
