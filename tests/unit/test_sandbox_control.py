"""The control interface: the same powers as in Python, as JSON over the sandbox's own paths."""

from typing import Any

import pytest

from ops.sandbox import Sandbox, Switches
from ops.sandbox.lab.control import INDEX, ROUTES
from ops.sandbox.lab.drawing import CHOICES

ADA = {"customer_type": "Person", "email": "ada+manual@example.com", "external_id": "crm-1"}


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox whose time stands still."""
    return Sandbox()


def control(sandbox: Sandbox, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
    """Make a control call, without an API key."""
    answer = sandbox.request(method, f"/_sandbox/{path}", body, api_key="")
    assert answer.status == status, answer.body
    return answer.json()


def start(sandbox: Sandbox) -> tuple[str, str]:
    """Create a customer with an identification."""
    customer_id = sandbox.request("POST", "/api/customers", ADA, key="c").json()["id"]
    path = f"/api/customers/{customer_id}/identifications/v2"
    return customer_id, sandbox.request("POST", path, {"type": "Link"}, key="i").json()["id"]


def test_the_index_names_every_call(sandbox: Sandbox) -> None:
    """Each control call is in the list that the interface gives of itself."""
    listed = control(sandbox, "GET", "")
    assert listed == INDEX
    named = {line.split("?")[0].replace("/_sandbox", "").replace("/", " ").split("{")[0] for line in listed}
    for method, *parts in ROUTES:
        fixed = [part for part in parts if part != "*"]
        assert any(line.split()[:1] == [method] and fixed == line.split("[")[0].split()[1:] for line in named), parts


def test_effects(sandbox: Sandbox) -> None:
    """Effects are listed with key, customer, subject and replays; filtered, paged, and counted by external id."""
    customer_id, identification_id = start(sandbox)
    sandbox.request("POST", "/api/customers", ADA, key="c")
    listed = control(sandbox, "GET", "effects")
    assert listed["effects"] == [
        {
            "operation": "create_customer",
            "idempotency_key": "c",
            "customer_id": customer_id,
            "external_id": "crm-1",
            "subject": customer_id,
            "at": sandbox.clock.now(),
            "replays": 1,
        },
        {
            "operation": "create_identification",
            "idempotency_key": "i",
            "customer_id": customer_id,
            "external_id": "crm-1",
            "subject": identification_id,
            "at": sandbox.clock.now(),
            "replays": 0,
        },
    ]
    assert control(sandbox, "GET", "effects?operation=create_customer")["total"] == 1
    assert control(sandbox, "GET", "effects?limit=1")["next"] == 1
    assert len(control(sandbox, "GET", "effects?limit=1&after=1")["effects"]) == 1
    counts = {"customers": 1, "identifications": 1, "signings": 0}
    assert control(sandbox, "GET", "effects?group=external_id") == {"crm-1": counts}
    assert control(sandbox, "GET", "effects?group=external_id&external_id=none") == {}
    assert control(sandbox, "GET", "effects?duplicates=1") == {}
    sandbox.request("POST", "/api/customers", ADA, key="another")
    assert set(control(sandbox, "GET", "effects?duplicates=1")) == {"crm-1"}


def test_moves_and_time(sandbox: Sandbox) -> None:
    """Records are moved by id or external id, and time goes forward."""
    customer_id, identification_id = start(sandbox)
    control(sandbox, "POST", f"identifications/{identification_id}/approve")
    assert control(sandbox, "POST", "advance", {"seconds": 5})["ahead_s"] == 0
    customer = sandbox.request("GET", f"/api/customers/{customer_id}").json()
    assert customer["status"] == "SigningsRequired"
    control(sandbox, "POST", "customers/crm-1/status", {"status": "Dancing"})
    assert sandbox.request("GET", f"/api/customers/{customer_id}").json()["status"] == "Dancing"
    control(sandbox, "POST", f"identifications/{identification_id}/archive")
    control(sandbox, "POST", f"customers/{customer_id}/archive")
    assert control(sandbox, "GET", "summary")["customers"] == {"Archived": 1}
    control(sandbox, "POST", "customers/nobody/archive", status=404)
    control(sandbox, "POST", "customers/crm-1/fly", status=404)
    control(sandbox, "POST", "customers/crm-1/status", status=400)
    control(sandbox, "POST", "advance", {"seconds": -1}, status=400)


def test_faults(sandbox: Sandbox) -> None:
    """Rules are set, listed with their hits, and cleared by name or all."""
    name = control(sandbox, "POST", "faults", {"method": "GET", "status": 503})["name"]
    control(sandbox, "POST", "faults", {"name": "mine", "status": 503, "method": "PUT"})
    assert sandbox.request("GET", "/api/customers").status == 503
    assert [(one["name"], one["hits"]) for one in control(sandbox, "GET", "faults")] == [(name, 1), ("mine", 0)]
    assert control(sandbox, "DELETE", f"faults/{name}") == {"cleared": 1}
    assert control(sandbox, "DELETE", "faults") == {"cleared": 1}
    assert sandbox.request("GET", "/api/customers").status == 200
    assert "status" in control(sandbox, "POST", "faults", {"status": 9}, status=400)["error"]
    control(sandbox, "POST", "faults", {"status": 503, "surprise": 1}, status=400)


def test_switches(sandbox: Sandbox) -> None:
    """Switches are read and set, none of them if one is wrong."""
    assert control(sandbox, "GET", "switches")["pending_identification"] == "conflict"
    control(sandbox, "POST", "switches", {"lookup_lag_s": 30, "pending_identification": "perhaps"}, status=400)
    assert sandbox.switches.lookup_lag_s == 0
    assert control(sandbox, "POST", "switches", {"lookup_lag_s": 30})["lookup_lag_s"] == 30
    assert sandbox.switches.lookup_lag_s == 30
    control(sandbox, "POST", "switches", {"surprise": 1}, status=400)


def test_dice(sandbox: Sandbox) -> None:
    """A provider is drawn by its seed; stopped, it stays as it was drawn; a reset undoes it."""
    assert set(control(sandbox, "GET", "choices")) == set(CHOICES)
    drawn = control(sandbox, "POST", "dice", {"seed": 7, "keep": ["order"]})
    assert drawn != Switches().model_dump(mode="json")
    assert drawn["order"] == "identify_first"
    answers = {sandbox.request("GET", "/api/customers").body for _ in range(200)}
    assert len(answers) > 1
    assert control(sandbox, "DELETE", "dice") == drawn
    assert len({sandbox.request("GET", "/api/customers").body for _ in range(50)}) == 1
    assert control(sandbox, "POST", "dice", {"seed": 7, "keep": ["order"]}) == drawn
    control(sandbox, "POST", "dice", {"seed": "seven"}, status=400)
    control(sandbox, "POST", "reset")
    for _ in range(200):
        sandbox.request("GET", "/api/customers")
    assert sandbox.switches == Switches()


def test_webhooks(sandbox: Sandbox) -> None:
    """Webhooks are switched on, changed, listed, replayed, shuffled, dropped and switched off."""
    control(sandbox, "POST", "webhooks", {"url": "https://here.invalid", "secret": "s"})
    start(sandbox)
    shown = control(sandbox, "GET", "webhooks")
    assert shown["settings"]["url"] == "https://here.invalid"
    assert [one["body"]["type"] for one in shown["waiting"]] == ["customer_created", "identification_status"]
    assert control(sandbox, "POST", "webhooks", {"drop": 1})["secret"] == "s"
    assert control(sandbox, "POST", "webhooks/replay", {"last": 1}) == {"replayed": 1}
    assert control(sandbox, "POST", "webhooks/reorder") == {"waiting": 3}
    assert control(sandbox, "POST", "webhooks/drop") == {"dropped": 3}
    assert control(sandbox, "DELETE", "webhooks") == {"dropped": 0}
    assert control(sandbox, "GET", "webhooks")["settings"] is None


def test_requests(sandbox: Sandbox) -> None:
    """Requests are counted by endpoint, second and time; control calls are not."""
    start(sandbox)
    counted = control(sandbox, "GET", "requests")
    assert (counted["total"], counted["busiest_second"]) == (2, 2)
    second = str(int(sandbox.clock.wall()))
    assert control(sandbox, "GET", "requests?log=seconds")["per_second"][second]["POST /customers"] == 1
    assert control(sandbox, "GET", "requests?log=times&since=0")["times"]["POST /customers"] == [sandbox.clock.wall()]


def test_reset_forgets_everything(sandbox: Sandbox) -> None:
    """After a reset the sandbox is as new: records, effects, keys, faults, switches and webhooks are gone."""
    customer_id, _ = start(sandbox)
    control(sandbox, "POST", "switches", {"lookup_lag_s": 30})
    control(sandbox, "POST", "faults", {"status": 503, "method": "GET"})
    control(sandbox, "POST", "webhooks", {"url": "https://here.invalid"})
    control(sandbox, "POST", "reset")
    assert sandbox.request("GET", f"/api/customers/{customer_id}").status == 404
    assert control(sandbox, "GET", "effects")["total"] == 0
    assert control(sandbox, "GET", "webhooks")["settings"] is None
    assert sandbox.switches.lookup_lag_s == 0
    assert sandbox.request("POST", "/api/customers", ADA, key="c").status == 201


@pytest.mark.parametrize(("method", "path"), [("GET", "nothing"), ("PUT", "reset"), ("GET", "faults/one/two")])
def test_unknown_control_calls(sandbox: Sandbox, method: str, path: str) -> None:
    """A call that does not exist says so."""
    assert "error" in control(sandbox, method, path, status=404)
