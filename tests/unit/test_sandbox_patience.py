"""Whatever is drawn, a provider can be lived with: a client that believes nothing and repeats its calls arrives."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from ops.sandbox import Sandbox, Switches, draw

#: Pause between two looks, in seconds, and how many looks a patient client takes: some three hours.
PAUSE_S, LOOKS = 30.0, 400
UNDER_WAY = {"Pending", "Processed", "PendingReview"}


class Patient:
    """Looks, does the next thing, and looks again; a key stays the same until its request has been refused."""

    def __init__(self, sandbox: Sandbox, tag: str) -> None:
        self.sandbox = sandbox
        self.body = {"customer_type": "Person", "email": f"ada+{tag}@example.com", "external_id": "crm-1"}
        self.id = ""
        self.refused: dict[str, int] = {}

    def get(self, path: str, kind: type) -> Any:
        """Read something of a kind; anything else is nothing."""
        answer = self.sandbox.request("GET", f"/api{path}")
        value = answer.json() if answer.status == 200 else None
        return value if isinstance(value, kind) else kind()

    def post(self, path: str, body: object) -> Any:
        """Do something once."""
        name = f"{path} {body}"
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {self.refused.get(name, 0)}"))
        answer = self.sandbox.request("POST", f"/api{path}", body, key=key)
        self.refused[name] = self.refused.get(name, 0) + (400 <= answer.status < 500)
        return answer.json() if answer.status == 201 else {}

    def look(self) -> bool:
        """Do the next thing; tell whether all is done."""
        if not self.id:
            known = self.get("/customers/crm-1/external", dict) or self.post("/customers", self.body)
            self.id = known.get("id", "")
            return False
        path = f"/customers/{self.id}"
        match self.get(path, dict).get("status"):
            case "Active":
                return True
            case "IdentificationRequired":
                self.identify(path)
            case "SigningsRequired":
                for document in self.get(f"{path}/required-signings", list):
                    if "id" in document:
                        self.post(f"{path}/signings", {"content_id": document["id"], "signed": True})
        return False

    def identify(self, path: str) -> None:
        """Ask for an identification where a whole list says that there is none."""
        listed = self.get(f"{path}/identifications", dict).get("items")
        if listed == []:
            self.post(f"{path}/identifications/v2", {"type": "Link"})


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("tag", ["approve", "stepup", "newterms"])
def test_a_patient_client_arrives(seed: int, tag: str) -> None:
    """Under every drawn provider the customer becomes Active, stays it, and there is one effect of each kind."""
    sandbox = Sandbox(switches=draw(Switches(), random.Random(seed)), dice=random.Random(seed))
    client = Patient(sandbox, tag)
    for _ in range(LOOKS):
        sandbox.advance(PAUSE_S)
        client.look()
    sandbox.calm()
    sandbox.advance(PAUSE_S)
    assert client.look()
    effects = sandbox.effects.group()["crm-1"]
    assert (effects["customers"], effects["identifications"]) == (1, 1)
    signed = {one.content_id for one in sandbox.provider.store.customers[client.id].signings}
    assert len(signed) == effects["signings"] == (3 if tag == "newterms" else 2)
