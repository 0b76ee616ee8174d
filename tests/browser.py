"""Chromium without a window, driven over a pipe with its DevTools protocol; nothing but the browser is needed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FOUND = next((path for path in map(shutil.which, NAMES) if path), None)
PATIENCE = 30  # seconds
# A root user, as in a container, has no sandbox; a small /dev/shm is not enough for a tab.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio"]
# The browser reads and writes the file descriptors 3 and 4. Each pipe is moved out of the way first: it may stand where
# the other has to go.
AS_3_AND_4 = """
import os, sys
reading, writing = (os.dup2(int(place), high) for place, high in zip(sys.argv[1:3], (200, 201)))
os.dup2(reading, 3), os.dup2(writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One page of the browser."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._number, self._read, self._session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; what it returns."""
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._requests, json.dumps(request).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return dict(message["result"])
            self.events.append(message)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            assert select.select([self._answers], [], [], PATIENCE)[0], f"the browser has said nothing for {PATIENCE} s"
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser has ended"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(message))

    def open(self, path: Path) -> None:
        """Shows a file, once it has loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited. AssertionError with what it throws."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, script: str) -> None:
        """Returns when the expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, f"waited {PATIENCE} s for {script}"
            time.sleep(0.02)

    def key(self, key: str, text: str = "") -> None:
        """Presses and releases a key, as `Enter` or `Tab`."""
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}
        known = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": codes.get(key, 0)}
        text = text or {"Enter": "\r", " ": " "}.get(key, "")
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def size(self, width: int, height: int, **media: str) -> None:
        """The size of the window, and what the user prefers, as prefers_color_scheme="dark"."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path, whole: bool = False) -> None:
        """What the window shows, or the whole page, as PNG."""
        shot = self.call(
            "Page.captureScreenshot", captureBeyondViewport=whole, **({"clip": self._all()} if whole else {})
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def _all(self) -> dict[str, float]:
        content = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {**{key: content[key] for key in ("x", "y", "width", "height")}, "scale": 1}

    @property
    def complaints(self) -> list[str]:
        """Errors and refusals that the page has caused since it was opened."""
        self.run("0")
        found = []
        for event in self.events:
            entry = event.get("params", {})
            if event.get("method") == "Log.entryAdded" and entry["entry"]["level"] == "error":
                found.append(entry["entry"]["text"])
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(entry["exceptionDetails"]))
        return found


@contextmanager
def tab() -> Iterator[Tab]:
    """A tab in a browser of its own, which ends with the block."""
    assert FOUND
    to_browser, requests = os.pipe()
    answers, from_browser = os.pipe()

    start = [sys.executable, "-c", AS_3_AND_4, str(to_browser), str(from_browser)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [*start, FOUND, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Tab(requests, answers)
        finally:
            process.terminate()
            process.wait(PATIENCE)
            os.close(requests)
            os.close(answers)
