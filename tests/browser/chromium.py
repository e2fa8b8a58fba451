"""A Chromium without a window, driven over its DevTools pipe: no driver, no package, no open port.

Messages are JSON ended by a NUL byte, on file descriptors 3 (to it) and 4 (from it).
Source: https://chromedevtools.github.io/devtools-protocol/, and Chromium's `--remote-debugging-pipe`.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

#: Names under which distributions install it.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")
#: Seconds until a page that does not come, or a condition that does not hold, fails the test.
PATIENCE_S = 20.0
#: Times that Tab is pressed at most until the wanted element has the focus.
MOST_TABS = 40
#: A small phone in the hand, and a desk, in CSS pixels.
PHONE, DESK = (360, 780), (1280, 900)


def installed() -> str | None:
    """Give the path of a browser that runs, or None: what some distributions install only says how to get one."""
    paths = (path for name in NAMES if (path := shutil.which(name)))
    return next((path for path in paths if _runs(path)), None)


def _runs(path: str) -> bool:
    return subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0


class Browser:
    """One browser, from which each test takes a page of its own."""

    def __init__(self, path: str, profile: Path) -> None:
        """Start it with an empty profile."""
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        arguments = [
            *(path, "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"),
            *(f"--user-data-dir={profile}", "--disable-dev-shm-usage", "--disable-background-networking"),
            *("--proxy-server=direct://", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
            *("--lang=en-GB", "--hide-scrollbars"),
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            "about:blank",
        ]
        # The shell gives the two ends the numbers that Chromium expects.
        shell = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "browser", *arguments],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        self._received = b""
        self._number = 0
        #: Whoever wants to hear what happens in a page, by the page's session.
        self._listeners: dict[str, Callable[[str, dict[str, Any]], None]] = defaultdict(lambda: lambda *_: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(PATIENCE_S)
        except (OSError, EOFError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    @contextmanager
    def page(self) -> Iterator[Page]:
        """Open a page that shares nothing with any other: no cookie, no cache."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        self._listeners[session] = page.note
        page.begin()
        yield page
        del self._listeners[session]
        self.call("Target.disposeBrowserContext", browserContextId=context)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method, of a page by its session, and wait for its answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 20)
            if not part:
                raise EOFError
            self._received += part
        raw, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        self._listeners[message.get("sessionId", "")](message.get("method", ""), message.get("params", {}))
        return message


class Page:
    """A page, as the person in front of it uses it."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        #: What it had to complain about: errors of scripts, refusals by the policy, files that did not come.
        self.complaints: list[str] = []
        #: Addresses that it asked for.
        self.requests: list[str] = []

    def begin(self) -> None:
        """Listen to what happens, in a window on a desk."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(*DESK)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        return self._browser.call(method, self._session, **parameters)

    def note(self, event: str, about: dict[str, Any]) -> None:
        """Take note of what happened."""
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"].get("exception", {}).get("description")))
        if event == "Runtime.consoleAPICalled" and about["type"] in {"error", "warning", "assert"}:
            self.complaints.append(str(about["args"]))
        if event == "Log.entryAdded" and about["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(about["entry"]["text"])
        if event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    # --- what a person does ------------------------------------------------------------------------------------------

    def open(self, address: str) -> None:
        """Open an address and wait until it is there."""
        failed = self.call("Page.navigate", url=address).get("errorText")
        assert failed is None, f"{address}: {failed}"
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def js(self, expression: str) -> Any:
        """Evaluate an expression in the page; that works where the page's own scripts are off, too."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, expression: str, what: str = "") -> None:
        """Wait until an expression is true, over a change of pages too."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self.js(f"Boolean({expression})"):
                    return
            except AssertionError:
                if time.monotonic() > deadline:
                    raise  # a page that is going away has no context; one that stays has an error
            assert time.monotonic() < deadline, (what or expression, self.address, self.text())
            select.select([], [], [], 0.05)

    def until_says(self, text: str) -> None:
        """Wait until something stands in the page."""
        self.until(f"document.body.innerText.includes({json.dumps(text)})")

    def leaves(self, act: Callable[[], None]) -> None:
        """Do something after which the page is another one, and wait for that."""
        self.mark()
        act()
        self.until("!window.stillHere && document.readyState === 'complete'")

    def mark(self) -> None:
        """Mark the page, so that `stays` knows it again."""
        self.js("window.stillHere = true")

    @property
    def stays(self) -> bool:
        """Whether it is still the page that was marked, and was not loaded anew."""
        return bool(self.js("window.stillHere === true"))

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        place = self.js(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2] }})(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait for that page."""
        self.leaves(lambda: self.click(selector))

    def key(self, name: str, code: int = 0, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            pressed = {"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", **pressed, **({"text": text} if text and kind == "keyDown" else {}))

    def tab_to(self, selector: str) -> None:
        """Press Tab until an element has the focus, as somebody without a mouse does."""
        for _ in range(MOST_TABS):
            self.key("Tab", 9)
            if self.js(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"{selector} cannot be reached with the keyboard at {self.address}")

    def enter(self) -> None:
        """Press Enter, and wait for the page that this leads to."""
        self.leaves(lambda: self.key("Enter", 13, "\r"))

    def write(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self.js(f"document.querySelector({json.dumps(selector)}).focus()")
        self.write(text)

    # --- what a person sees ------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self.js("location.href"))

    @property
    def heading(self) -> str:
        """What it says first."""
        return self.text("h1")

    def text(self, selector: str = "body") -> str:
        """Read what stands in an element."""
        return str(self.js(f"document.querySelector({json.dumps(selector)}).innerText"))

    def has(self, selector: str) -> bool:
        """Say whether there is such an element."""
        return bool(self.js(f"document.querySelector({json.dumps(selector)}) !== null"))

    def cookies(self) -> list[dict[str, Any]]:
        """Give the cookies that it would send."""
        return list(self.call("Network.getCookies")["cookies"])

    # --- how it is looked at -----------------------------------------------------------------------------------------

    def size(self, width: int, height: int) -> None:
        """Make the window so large, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def prefer(self, **features: str) -> None:
        """Prefer something, such as color_scheme="dark"."""
        wanted = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=wanted)

    def languages(self, accepted: str) -> None:
        """Speak these languages, as Accept-Language names them."""
        self.call("Network.setUserAgentOverride", userAgent=self.js("navigator.userAgent"), acceptLanguage=accepted)

    def scripts(self, *, on: bool) -> None:
        """Switch JavaScript of pages on or off."""
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def picture(self, file: Path) -> None:
        """Take a picture of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))
