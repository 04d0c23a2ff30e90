"""A real browser for tests of the page: headless Chromium, driven by Playwright, cut off from every network.

`scripts/test` installs Chromium where there is none. Fixtures are of a module: while Playwright's synchronous interface
is open, no other test of the process could run an event loop.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def executable() -> str | None:
    """The browser that BENCH_CHROMIUM names, else the system's; None: Playwright's own, where it was installed."""
    named = os.environ.get("BENCH_CHROMIUM")
    return (shutil.which(named) or named) if named else next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Seen:
    """A page, and what it did that it must not: complaints on the console, errors, requests for anything but its own
    file."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")) and request.url != self.page.url.partition("#")[0]:
            self.requests.append(request.url)

    def open(self, path: Path, fragment: str = "") -> Page:
        """Show a file; what opening it asked for is no request of the page's own."""
        url = path.resolve().as_uri() + fragment
        self.page.goto(url)
        self.requests = [one for one in self.requests if one.partition("#")[0] != url.partition("#")[0]]
        return self.page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Headless Chromium. A machine without one fails the test: `scripts/test` installs it."""
    with sync_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses to sandbox root
        running = playwright.chromium.launch(executable_path=executable(), args=sandbox)
        yield running
        running.close()


def context(chromium: Browser, dark: bool = False, phone: bool = False, **options: Any) -> BrowserContext:
    """A person's window, without a network."""
    size = PHONE if phone else DESKTOP
    made = chromium.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        offline=True,
        **options,
    )
    made.set_default_timeout(10_000)
    return made


@pytest.fixture
def seen(chromium: Browser) -> Iterator[Seen]:
    """An empty page of desktop size, and what it does."""
    window = context(chromium)
    yield Seen(window.new_page())
    window.close()


def violations(page: Page) -> list[str]:
    """What axe finds that is serious or critical, each with the element that it is about."""
    import axe_playwright_python

    script = Path(str(axe_playwright_python.__file__)).parent / "axe.min.js"
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
