"""What happens to a customer by the tag in the e-mail, and what can be moved by hand."""

from typing import Any

import pytest

from ops.sandbox import Sandbox, Switches

STEP_S = 0.05


class Person:
    """A customer in the sandbox, followed through the provider's own calls."""

    def __init__(self, sandbox: Sandbox, tag: str, name: str = "crm-1") -> None:
        self.sandbox = sandbox
        email = f"ada+{tag}@example.com" if tag else "ada@example.com"
        body = {"customer_type": "Person", "email": email, "external_id": name}
        self.id = sandbox.request("POST", "/api/customers", body, key=name).json()["id"]
        self.rounds = 0

    def identify(self) -> str:
        """Start a new identification."""
        self.rounds += 1
        path = f"/api/customers/{self.id}/identifications/v2"
        answer = self.sandbox.request("POST", path, {"type": "Link"}, key=f"round {self.rounds}")
        assert answer.status == 201, answer.body
        return str(answer.json()["id"])

    def read(self) -> dict[str, Any]:
        """Read the customer."""
        answer: dict[str, Any] = self.sandbox.request("GET", f"/api/customers/{self.id}").json()
        return answer

    def newest(self) -> dict[str, Any]:
        """Read the newest identification."""
        page = self.sandbox.request("GET", f"/api/customers/{self.id}/identifications").json()
        newest: dict[str, Any] = page["items"][0]
        return newest

    def required(self) -> list[dict[str, Any]]:
        """Read what is to be signed."""
        answer = self.sandbox.request("GET", f"/api/customers/{self.id}/required-signings")
        assert answer.status == 200, answer.body
        documents: list[dict[str, Any]] = answer.json()
        return documents

    def sign(self) -> None:
        """Sign everything that is required."""
        for one in self.required():
            body = {"signed": True, "content_id": one["id"]}
            self.sandbox.request("POST", f"/api/customers/{self.id}/signings", body, key=one["id"])

    def watch(self, seconds: float) -> list[str]:
        """Let time pass and return each new pair of statuses with the rough time it came."""
        seen: list[str] = []
        for _ in range(round(seconds / STEP_S)):
            now = f"{self.read()['status']}/{self.read()['identification_status']}"
            if not seen or seen[-1] != now:
                seen.append(now)
            self.sandbox.advance(STEP_S)
        return seen

    def until(self, status: str, limit_s: float = 30.0) -> float:
        """Let time pass until the customer has a status; return how long that took."""
        waited_s = 0.0
        while self.read()["status"] != status:
            assert waited_s < limit_s, self.read()
            self.sandbox.advance(STEP_S)
            waited_s += STEP_S
        return waited_s

    def onboard(self) -> None:
        """Go all the way to Active."""
        self.identify()
        self.until("SigningsRequired")
        self.sign()


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox whose time stands still."""
    return Sandbox()


USUAL = [
    "IdentificationRequired/Pending",
    "IdentificationRequired/Processed",
    "IdentificationRequired/PendingReview",
    "IdentificationRequired/Approved",
    "SigningsRequired/Approved",
]


@pytest.mark.parametrize("tag", ["", "approve", "no-such-tag"])
def test_approve(sandbox: Sandbox, tag: str) -> None:
    """Without a tag the customer finishes in 3 to 6 s, is asked to sign a moment later, signs, and stays Active."""
    person = Person(sandbox, tag)
    person.identify()
    assert person.newest()["url"]
    sandbox.advance(2.0)
    assert person.newest()["status"] == "Pending"
    person.until("SigningsRequired")
    assert person.newest()["url"] is None
    assert len(person.required()) == 2
    person.sign()
    assert person.watch(60) == ["Active/Approved"]


def test_the_whole_way_is_visible(sandbox: Sandbox) -> None:
    """Every status of the usual path can be seen, in its order."""
    person = Person(sandbox, "approve")
    person.identify()
    assert person.watch(10) == USUAL


def test_delays_differ_by_customer_and_are_repeatable(sandbox: Sandbox) -> None:
    """Each customer has delays of its own, from its external id, inside the promised ranges."""

    def decided(name: str, sandbox: Sandbox) -> tuple[float, float]:
        person = Person(sandbox, "approve", name)
        person.identify()
        waited_s = 0.0
        while person.newest()["status"] != "Approved":
            sandbox.advance(STEP_S)
            waited_s += STEP_S
        return waited_s, person.until("SigningsRequired")

    names = [f"crm-{number}" for number in range(12)]
    times = [decided(name, sandbox) for name in names]
    assert all(3 - STEP_S <= review <= 6 + STEP_S and 0.2 - STEP_S <= move <= 2 + STEP_S for review, move in times)
    assert len({review for review, _ in times}) > 6
    first = decided(names[3], Sandbox())
    assert first == pytest.approx(times[3], abs=2 * STEP_S)


def test_slow(sandbox: Sandbox) -> None:
    """A slow customer takes ten times as long."""
    person = Person(sandbox, "slow")
    person.identify()
    assert 30 <= person.until("SigningsRequired", 70) <= 62.5


@pytest.mark.parametrize(("tag", "retry"), [("decline", True), ("decline-final", False)])
def test_decline(sandbox: Sandbox, tag: str, retry: bool) -> None:
    """A decline comes with a comment and with steps that say whether to retry; the customer stays where it is."""
    person = Person(sandbox, tag)
    person.identify()
    assert person.watch(30)[-1] == "IdentificationRequired/Declined"
    newest = person.newest()
    assert newest["review_comment"]
    assert newest["step_status"]["identity"]["retry"] is retry
    person.identify()
    assert person.watch(30)[-1] == "IdentificationRequired/Declined"


def test_expire(sandbox: Sandbox) -> None:
    """Every identification of the customer expires, after about 8 s, and a new one may be made."""
    person = Person(sandbox, "expire")
    for _ in range(3):
        person.identify()
        sandbox.advance(7.9)
        assert person.newest()["status"] == "Pending"
        sandbox.advance(0.1)
        assert person.newest()["status"] == "Expired"


def test_step_up(sandbox: Sandbox) -> None:
    """An Active customer is asked again, once, on the same record, and is Active afterwards without signing again."""
    person = Person(sandbox, "stepup")
    person.onboard()
    before = person.newest()["id"]
    person.until("IdentificationRequired")
    newest = person.newest()
    assert (newest["id"], newest["status"]) == (before, "Pending")
    assert newest["url"]
    assert person.watch(10) == [*USUAL[:4], "Active/Approved"]
    assert person.watch(60) == ["Active/Approved"]


def test_new_terms(sandbox: Sandbox) -> None:
    """An Active customer has to sign one new document, once."""
    person = Person(sandbox, "newterms")
    person.onboard()
    signed = len(person.read()["signing_ids"])
    person.until("SigningsRequired")
    (document,) = person.required()
    assert document["display_name"].startswith("Terms and Conditions, edition")
    person.sign()
    assert person.watch(60) == ["Active/Approved"]
    assert len(person.read()["signing_ids"]) == signed + 1


def test_suspend(sandbox: Sandbox) -> None:
    """An Active customer is suspended for a while, once."""
    person = Person(sandbox, "suspend")
    person.onboard()
    assert person.watch(60) == ["Active/Approved", "Suspended/Approved", "Active/Approved"]


def test_manual(sandbox: Sandbox) -> None:
    """Nothing happens by itself; every move can be made by hand, also to statuses that no document names."""
    person = Person(sandbox, "manual")
    identification_id = person.identify()
    assert person.watch(60) == ["IdentificationRequired/Pending"]
    for step, status in (("process", "Processed"), ("review", "PendingReview"), ("decline", "Declined")):
        sandbox.move(identification_id, step)
        assert person.newest()["status"] == status
    sandbox.move("crm-1", "approve")
    person.until("SigningsRequired")
    sandbox.move(person.id, "suspend")
    sandbox.move(person.id, "userrequired")
    sandbox.move(person.id, "status", status="Dancing")
    assert person.read()["status"] == "Dancing"
    sandbox.move(identification_id, "status", status="Puzzled")
    assert person.newest()["status"] == "Puzzled"
    sandbox.move(person.id, "status", status="SigningsRequired")
    person.sign()
    sandbox.move(person.id, "stepup")
    assert person.watch(60) == ["IdentificationRequired/Pending"]
    assert person.newest()["url"]
    sandbox.move(identification_id, "approve")
    person.until("Active")
    sandbox.move(person.id, "newterms")
    assert len(person.required()) == 1


def test_a_move_by_hand_ends_the_script(sandbox: Sandbox) -> None:
    """What a hand has moved, the script leaves alone."""
    person = Person(sandbox, "approve")
    identification_id = person.identify()
    sandbox.move(identification_id, "decline", comment="by hand")
    assert person.watch(60) == ["IdentificationRequired/Declined"]
    assert person.newest()["review_comment"] == "by hand"


def test_pending_identification_conflicts(sandbox: Sandbox) -> None:
    """While one is in flight another is refused with 409, also while a step-up is open."""
    person = Person(sandbox, "manual")
    identification_id = person.identify()
    path = f"/api/customers/{person.id}/identifications/v2"
    for step in ("process", "review", "stepup"):
        assert sandbox.request("POST", path, {"type": "Link"}, key=step).status == 409
        sandbox.move(identification_id, step)
    assert sandbox.effects.totals()["create_identification"] == 1


def test_pending_identification_superseded() -> None:
    """When switched so, a second one is made, and the older one counts no longer even if it is approved later."""
    sandbox = Sandbox(switches=Switches(pending_identification="supersede"))
    person = Person(sandbox, "manual")
    older, newer = person.identify(), person.identify()
    sandbox.move(older, "approve")
    assert person.watch(5) == ["IdentificationRequired/Pending"]
    sandbox.move(newer, "approve")
    person.until("SigningsRequired")


def test_identifying_again_takes_an_active_customer_offline(sandbox: Sandbox) -> None:
    """A new identification of an Active customer blocks it until approved; nothing is to be signed again."""
    person = Person(sandbox, "approve")
    person.onboard()
    person.identify()
    assert person.read()["status"] == "IdentificationRequired"
    assert person.watch(10)[-1] == "Active/Approved"


@pytest.mark.parametrize(("otherwise", "status"), [("conflict", 409), ("empty", 200), ("not_found", 404)])
def test_required_signings_when_nothing_is_due(otherwise: Any, status: int) -> None:
    """What required-signings answers outside SigningsRequired is a switch: 409, an empty list, or 404."""
    sandbox = Sandbox(switches=Switches(required_signings_otherwise=otherwise))
    person = Person(sandbox, "approve")
    path = f"/api/customers/{person.id}/required-signings"
    assert sandbox.request("GET", path).status == status
    person.onboard()
    answer = sandbox.request("GET", path)
    assert answer.status == status
    if status == 409:
        assert "does not require signings" in answer.json()


def test_approval_delay_is_a_switch() -> None:
    """The move to SigningsRequired can be immediate, or take minutes."""
    for delay_s in (0.0, 180.0):
        sandbox = Sandbox(switches=Switches(approval_delay_s=delay_s))
        person = Person(sandbox, "manual")
        sandbox.move(person.identify(), "approve")
        assert person.until("SigningsRequired", 200) == pytest.approx(delay_s, abs=2 * STEP_S)


def test_documents_are_a_switch() -> None:
    """How many documents are to be signed can be set; without any, approval leads straight to Active."""
    sandbox = Sandbox(switches=Switches(documents=("One", "Two", "Three")))
    person = Person(sandbox, "approve")
    person.identify()
    person.until("SigningsRequired")
    assert [one["display_name"] for one in person.required()] == ["One", "Two", "Three"]
    sandbox.switches.documents = ()
    other = Person(sandbox, "approve", "crm-2")
    other.identify()
    other.until("Active")


def test_speed_divides_the_times_of_scripts() -> None:
    """At speed 100 a customer is done in hundredths, and what happened is dated when it was due."""
    sandbox = Sandbox(speed=100)
    person = Person(sandbox, "approve")
    person.identify()
    sandbox.advance(0.1)
    assert person.read()["status"] == "SigningsRequired"
    assert person.read()["updated_at"] < "2026-01-15T10:00:00.1Z"
