# SPDX-License-Identifier: GPL-2.0-or-later
"""A box that observes: the page and the command line name what its detector found, and one press
enforces it.
"""

from pathlib import Path

from tests.browser.conftest import Desk, eventually, is_live, sitting
from tests.lab.conftest import SERVER, Street
from tests.lab.morning.scenario import Wave, flooding
from xdpctl.lab.box import Box

_FLOOD = Wave("NTP amplification", "amplification", 17, 123, 4444, 468)
_SETTINGS = f"""
interfaces = [{{name = "isp0", side = "outside"}}]
protected = ["192.0.2.0/24"]
[outside]
allow = ["203.0.113.0/24"]
[automatic]
mode = "observe"
[names.hosts]
"{SERVER}" = "web server"
"""


def test_what_the_detector_only_counts_is_enforced_with_one_press(
    street: Street, street_box: Box, tmp_path: Path
) -> None:
    street_box.interfaces, street_box.detects, street_box.settings = [], True, _SETTINGS
    with sitting(street, street_box, tmp_path) as desk, flooding(street, _FLOOD):
        _press(desk)
        enforced = [rule for rule in street_box.client.pages() if rule["mode"] == "enforce"]
        assert [rule["origin"] for rule in enforced] == ["builtin"]


def _press(desk: Desk) -> None:
    with desk.session() as page:
        is_live(page)
        card = page.locator("#waiting li").first
        eventually(page, lambda: card.is_visible() and "UDP from port 123" in card.inner_text(),
                   "the detector's rule")  # fmt: skip
        eventually(page, lambda: page.title().startswith("✖ Hurting"), "the word")
        assert "web server" in card.inner_text()
        assert "0 of " in card.inner_text()
        assert page.locator("#matches li").count() == 0, "the same is not proposed twice"
        (waiting,) = desk.box.cli("status")["condition"]["waiting"]
        assert waiting["rate"] > 1_000
        card.get_by_role("button", name="Enforce").click()
        page.mouse.move(0, 0)  # while somebody points at a card, it stays
        eventually(page, lambda: not card.is_visible(), "nothing waits any more")
        eventually(page, lambda: page.locator("#rules tr").count(), "the rule is at work")
        eventually(page, lambda: "Hurting" not in page.title(), "the word changes")
