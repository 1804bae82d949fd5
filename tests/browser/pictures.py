# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the dashboard for the documentation, from a box under attack: `make pictures`."""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.conftest import ADDRESS, Desk, eventually, is_live, sitting
from tests.lab.conftest import SERVER, Street
from tests.lab.morning.scenario import Wave, flooding
from tests.paths import ROOT
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.lab.namespaces import Lab

_FOLDER = ROOT / "docs" / "img"
_SIZE = {"width": 1280, "height": 800}
_FLOOD = Wave("DNS amplification", "amplification", 17, 53, 4444, 1200)
_USUAL = Wave("web", "unknown", 6, 40000, 443, 600, tcp_flags=0x10)


def main() -> None:
    """Draw every picture anew."""
    generator = Generator(compile_generator())
    with Lab("pictures") as lab, tempfile.TemporaryDirectory() as folder:
        server, attacker = lab.host("server"), lab.host("attacker")
        lab.cable(server, "isp0", attacker, "far0")
        server.ip(f"addr add {SERVER}/24 dev isp0")
        street, box = Street(server, attacker, generator), Box(server, ["isp0"])
        try:
            with sitting(street, box, Path(folder)) as desk:
                _furnish(desk)
                with (
                    desk.session("admin", viewport=_SIZE, color_scheme="light") as page,
                    flooding(street, _USUAL, pps=700),
                ):
                    _draw(page, street)
        finally:
            box.remove()
            generator.close()


def _furnish(desk: Desk) -> None:
    """Rules, a list and an incident that began a while ago."""
    box = desk.box
    box.cli("block", "203.0.113.128/25", "--monitor", "--reason", "is it one of ours?")
    box.cli("block", "198.51.100.23", "--ttl", "1h", "--reason", "SSH guessing")
    box.cli("limit", "--match", "tcp flags syn dst-port 443", "--pps", "500", "--per", "source")
    listed = box.directory / "list"
    listed.write_text("".join(f"45.95.{n}.0/24\n" for n in range(200)))
    box.cli("set", "put", "bad-networks", str(listed), "--reason", "shared by the state's CERT")
    opened = box.cli("incident", "open", SERVER, "--attack", "amplification")
    box.cli("incident", "note", opened["id"], "the provider was called, ticket 4711")


def _draw(page: Page, street: Street) -> None:
    is_live(page)
    page.wait_for_timeout(40_000)  # of usual traffic
    with flooding(street, _FLOOD):
        page.wait_for_timeout(9_000)
        row = page.locator("#matches li").first
        eventually(page, lambda: "port 53" in row.inner_text(), "the flood is named")
        _save(page, "now")
        row.get_by_role("button", name="Drop for 60 s").click()
        page.mouse.move(0, 0)
        page.wait_for_timeout(11_000)
        _save(page, "held")
        page.goto(ADDRESS + "/rules?sort=rate")
        _save(page, "rules")
    page.goto(f"{ADDRESS}/system")
    _save(page, "system")
    page.goto(ADDRESS + "/why?address=198.51.100.23")
    _save(page, "why")
    page.goto(ADDRESS + "/incidents")
    page.locator("tbody a").first.click()
    time.sleep(1.0)
    _save(page, "incident")


def _save(page: Page, name: str) -> None:
    page.screenshot(path=_FOLDER / f"dashboard-{name}.png")


if __name__ == "__main__":
    main()
