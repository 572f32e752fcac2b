"""A real browser for tests: Debian's Chromium without a screen, spoken to through its debugging pipe."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "Browser", "Shown", "browser"]

CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip


@dataclass
class Shown:
    """A page in the browser: what it complained of, and ways to ask it."""

    browser: Browser
    session: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def ask(self, code: str) -> Any:
        """The value of an expression in JavaScript; a promise is waited for."""
        how = {"expression": code, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", **how)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        return self.browser.call(method, self, **values)

    def picture(self, path: Path, height: int | None = None) -> None:
        """The whole page, or its first `height` pixels, as PNG."""
        wide, high = self.ask("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": wide, "height": min(high, height or high), "scale": 1}
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(answer["data"]))


@dataclass
class Browser:
    """A running Chromium; messages end with a zero byte."""

    to: int
    back: int
    rest: bytes = b""
    number: int = 0
    target: str = ""

    def show(self, path: Path, width: int, *, height: int = 900, dark: bool = False) -> Shown:
        """Open a page, instead of the one before, and wait until it has drawn itself."""
        if self.target:
            self.call("Target.closeTarget", targetId=self.target)
        self.target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        page = Shown(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        page.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=path.resolve().as_uri())
        for _ in range(200):
            if page.ask("document.readyState === 'complete' && location.href !== 'about:blank'"):
                break
            time.sleep(0.05)
        page.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return page

    def call(self, method: str, page: Shown | None = None, **values: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; what the page complains of on the way is kept."""
        self.number += 1
        session = {} if page is None else {"sessionId": page.session}
        text = json.dumps({"id": self.number, "method": method, "params": values, **session}).encode() + b"\0"
        while text:
            text = text[os.write(self.to, text) :]
        while True:
            message = self._next()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            if page is not None:
                _note(page, message)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            more = os.read(self.back, 1 << 20)
            assert more, "the browser has ended"
            self.rest += more
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)


def _note(page: Shown, message: dict[str, Any]) -> None:
    method, values = message.get("method"), message.get("params", {})
    if method == "Runtime.exceptionThrown":
        page.errors.append(json.dumps(values["exceptionDetails"]))
    if method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
        page.errors.append(json.dumps(values["args"]))
    if method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
        page.errors.append(json.dumps(values["entry"]))
    if method == "Network.requestWillBeSent" and not values["request"]["url"].startswith(("data:", "file:")):
        page.requests.append(values["request"]["url"])


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium with an empty profile; it ends with the block."""
    assert CHROMIUM is not None
    out_read, out_write = os.pipe()
    in_read, in_write = os.pipe()

    def pipes() -> None:  # the browser reads commands from 3 and writes to 4
        read, write = os.dup(out_read), os.dup(in_write)
        os.dup2(read, 3)
        os.dup2(write, 4)

    with tempfile.TemporaryDirectory() as profile:
        command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, preexec_fn=pipes, close_fds=False, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        os.close(out_read)
        os.close(in_write)
        running = Browser(out_write, in_read)
        try:
            yield running
            with contextlib.suppress(AssertionError, OSError):
                running.call("Browser.close")
        finally:
            for end in (out_write, in_read):
                os.close(end)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
