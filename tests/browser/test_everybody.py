# SPDX-License-Identifier: GPL-2.0-or-later
"""Accessibility of every page: WCAG 2.2 AA by axe, narrow, dark, forced colours, keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import ADDRESS, Desk, eventually, is_live, sitting
from tests.lab.conftest import Street
from xdpctl.lab.box import Box

UPLINK = """
[upstream]
uplinks = [{interface = "isp0", bits_in = 20_000_000}]
own = ["198.51.100.0/24"]
[[upstream.peers]]
name = "isp1"
address = "192.0.2.250"
local_address = "192.0.2.1"
peer_as = 64496
local_as = 64500
"""
SOURCES = [f"203.0.113.{n}" for n in range(1, 200)]
LOOKS: dict[str, dict[str, Any]] = {
    "wide and light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "a telephone in the dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
    "320 wide": {"viewport": {"width": 320, "height": 640}},
    "forced colours": {"viewport": {"width": 1280, "height": 900}, "forced_colors": "active"},
}
_UNFOLD = "for (const each of document.querySelectorAll('main details')) each.open = true"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def furnish(desk: Desk) -> list[str]:
    """Create one of each thing, so that every part of every page exists; return the pages."""
    box = desk.box
    box.cli("block", "203.0.113.0/25", "--reason", "flood", "--confirm-within", "10m")
    box.cli("block", "203.0.113.128/25", "--monitor", "--reason", "is it one of ours?")
    listed = box.directory / "list"
    listed.write_text("198.51.100.0/24\n")
    box.cli("set", "put", "bad", str(listed))
    opened = box.cli("incident", "open", "192.0.2.1", "--attack", "udp_flood")
    box.cli("incident", "note", opened["id"], "the provider was called")
    behind = box.cli("incident", "open", "198.51.100.7", "--attack", "udp_flood")
    box.cli("upstream", "propose", behind["id"])
    why = ("/why?address=203.0.113.7", "/why")
    rules = ("/rules", "/rules?sort=rate", "/rules?find=203.0.113.7")
    incidents = ("/incidents", f"/incidents/{opened['id']}")
    others = (*incidents, "/hosts/192.0.2.1", "/system", "/upstream")
    return ["/", *rules, *why, *others, "/rules?find=0.0.0.0/99&sort=no", "/login"]


def faults(page: Page) -> list[str]:
    found = Axe().run(page, options=RULES)
    return [
        f"{page.url}: {each['id']}: {node['html'][:200]}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]


def sticks_out(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    width: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width


def cut_off(page: Page) -> list[str]:
    """The buttons of tables that one must scroll sideways to see."""
    found: list[str] = page.evaluate("""[...document.querySelectorAll(".scroll")].flatMap((box) =>
        [...box.querySelectorAll("button")].filter((button) => button.offsetParent &&
            button.getBoundingClientRect().right > box.getBoundingClientRect().right + 1)
        .map((button) => button.ariaLabel ?? button.textContent))""")
    return found


@pytest.fixture
def whole_desk(street: Street, street_box: Box, tmp_path: Path) -> Iterator[Desk]:
    """A desk at a box that has every page."""
    street_box.settings = UPLINK
    with sitting(street, street_box, tmp_path) as found:
        yield found


def test_each_page_can_be_read(street: Street, whole_desk: Desk) -> None:
    desk = whole_desk
    paths, found = furnish(desk), []
    with street.flood(SOURCES):
        for look, how in LOOKS.items():
            with desk.session("admin", **how) as page:
                is_live(page)
                for path in paths:
                    page.goto(ADDRESS + path)
                    page.evaluate(_UNFOLD)
                    if path == "/":
                        page.locator("[data-top] tr").nth(3).wait_for()
                    found += [f"{look}: {fault}" for fault in faults(page)]
                    if (by := sticks_out(page)) > 0:
                        found.append(f"{look}: {path} sticks out by {by} pixels")
                    found += [f"{look}: {path}: {text} is cut off" for text in cut_off(page)]
    assert not found, "\n".join(found)


def test_the_keyboard_alone_is_enough(street: Street, desk: Desk) -> None:
    with street.flood(SOURCES), desk.session() as page:
        is_live(page)
        eventually(page, lambda: page.locator("#matches li").count(), "a match")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        for _ in range(12):
            page.keyboard.press("Tab")
            if "Drop for 60 s" in (page.evaluate("document.activeElement.ariaLabel") or ""):
                break
        page.keyboard.press("Enter")
        eventually(page, lambda: "drop: " in page.locator("#said").inner_text(), "it was done")


def test_a_dangerous_switch_must_be_held_down_not_only_pressed(desk: Desk) -> None:
    with desk.session() as page:
        is_live(page)
        page.get_by_text("Bypass", exact=True).click()
        button = page.get_by_role("button", name="Let everything pass")
        button.click()
        page.wait_for_timeout(300)
        assert not desk.box.client.call("GET", "/v1/bypass")["on"]
        button.focus()
        page.keyboard.down("Enter")
        eventually(page, lambda: desk.box.client.call("GET", "/v1/bypass")["on"], "the bypass")
        page.keyboard.up("Enter")
        eventually(page, lambda: "Hurting" in page.inner_text("h1"), "the word")
        page.get_by_role("button", name="Filter again").click()
        eventually(page, lambda: not desk.box.client.call("GET", "/v1/bypass")["on"], "filtering")
