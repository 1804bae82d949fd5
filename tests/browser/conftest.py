# SPDX-License-Identifier: GPL-2.0-or-later
"""A real box under real traffic, and Debian's Chromium in the box's network namespace."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.conftest import need
from tests.lab.conftest import Street, _able, generator, street, street_box
from xdpctl.lab.box import Box
from xdpctl.lab.waits import HANG_SECONDS

__all__ = ["_able", "generator", "street", "street_box"]
CHROMIUM = Path("/usr/bin/chromium")
PORT = 8460
ADDRESS = f"http://127.0.0.1:{PORT}"


@dataclass
class Desk:
    """A person's browser, and the faults that it has shown."""

    box: Box
    browser: Browser
    trouble: list[str] = field(default_factory=list)

    @contextmanager
    def session(self, role: str | None = "operator", **more: Any) -> Iterator[Page]:
        """A page of a user with this role; None: of a user who is not logged in."""
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | more)
        context.set_default_timeout(HANG_SECONDS * 1000)
        page = context.new_page()
        self._watch(context)
        try:
            if role:
                self.log_in(page, role)
            yield page
        finally:
            context.close()

    def log_in(self, page: Page, role: str) -> None:
        """Log in by the form, with a new token."""
        name = f"{role}-{time.monotonic_ns()}"
        made = self.box.client.call("POST", "/v1/tokens", json={"name": name, "role": role})
        page.goto(f"{ADDRESS}/login")
        page.get_by_label("Token").fill(made["secret"])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_load_state()

    def _watch(self, context: BrowserContext) -> None:
        """Record each request to another host, each script error, and each dialog."""

        def requested(request: Any) -> None:
            if not request.url.startswith(ADDRESS):
                self.trouble.append(f"a request of {request.url}")

        def opened(page: Page) -> None:
            page.on("pageerror", lambda error: self.trouble.append(f"a script failed: {error}"))
            page.on("dialog", lambda dialog: self.trouble.append(f"a dialog: {dialog.message}"))
            page.on("console", said)

        def said(message: Any) -> None:
            if message.type == "error" and "Content Security Policy" in message.text:
                self.trouble.append(message.text)

        context.on("request", requested)
        for page in context.pages:
            opened(page)
        context.on("page", opened)


def eventually(page: Page, condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds; `wait_for_function` needs eval, which the pages forbid."""
    until = time.monotonic() + HANG_SECONDS
    while time.monotonic() < until:
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {what}; the page has: {page.inner_text('body')[:3000]}")


def is_live(page: Page) -> None:
    """Wait for the first live figures."""
    eventually(page, lambda: page.evaluate("document.body?.dataset.live"), "live figures")


@pytest.fixture
def desk(street: Street, street_box: Box, tmp_path: Path) -> Iterator[Desk]:
    with sitting(street, street_box, tmp_path) as found:
        yield found


@contextmanager
def sitting(street: Street, box: Box, folder: Path) -> Iterator[Desk]:
    """A desk at a running box; fails at the end if the browser has shown a fault."""
    need(CHROMIUM.exists() and shutil.which("nsenter") is not None, "chromium")
    box.port = PORT
    box.start()
    inside = folder / "chromium"
    inside.write_text(f'#!/bin/sh\nexec nsenter --net={street.server.path} {CHROMIUM} "$@"\n')
    inside.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=inside, args=["--no-sandbox"])
        found = Desk(box, browser)
        try:
            yield found
        finally:
            browser.close()
    assert not found.trouble, found.trouble
