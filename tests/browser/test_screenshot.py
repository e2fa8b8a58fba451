"""The picture of the console that the README shows: `make screenshot` writes it, every other run only looks at it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.browser.chromium import Page
from tests.browser.conftest import Site
from tests.browser.test_console_journeys import sign_in

#: Names the file to write; unset, the picture goes to a folder that is forgotten.
SETTING = "SCREENSHOT"
#: Width and height of the window, in pixels.
WINDOW = (1100, 760)
#: A picture that everybody downloads with the repository is small, in bytes.
MOST_BYTES = 150_000

#: How often each tag of an e-mail address comes.
CUSTOMERS = {"approve": 9, "manual": 6, "decline": 3, "decline-final": 1, "slow": 4}
FILE = "email,customer_type,external_id\n" + "".join(
    f"shown-{tag}-{number}+{tag}@example.com,Person,shown-{tag}-{number}\n"
    for tag, count in CUSTOMERS.items()
    for number in range(count)
)


def test_the_picture_of_the_console(page: Page, site: Site, tmp_path: Path) -> None:
    """The overview shows where customers are and who needs an operator, and its picture is small."""
    site.api("POST", "/v1/imports?name=customers", content=FILE, headers={"Content-Type": "text/csv"})
    for tag, phase in {
        "approve": "signings_required",
        "manual": "identification_pending",
        "decline": "declined",
    }.items():
        for number in range(CUSTOMERS[tag]):
            site.until(f"shown-{tag}-{number}", phase)
    site.until("shown-decline-final-0", "declined")
    page.size(*WINDOW)
    page.prefer(color_scheme="light")
    sign_in(page, site, "operator")
    assert page.heading == "Overview"
    for phase in ("signings_required", "identification_pending", "declined"):
        assert page.has(f"a[href='/console/onboardings?phase={phase}']")
    file = Path(os.environ.get(SETTING) or tmp_path / "console.png")
    page.picture(file)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size < MOST_BYTES
