# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a full uplink: the problem, what to ask of the provider, and a letter to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import ADDRESS, Desk, eventually, sitting
from tests.browser.test_everybody import SOURCES, UPLINK
from tests.lab.conftest import SERVER, Street
from xdpctl.lab.box import Box


@pytest.fixture
def uplink_desk(street: Street, street_box: Box, tmp_path: Path) -> Iterator[Desk]:
    street_box.settings = UPLINK
    with sitting(street, street_box, tmp_path) as found:
        yield found


def test_the_page_says_that_the_link_is_full_and_what_to_ask_the_provider(
    street: Street, uplink_desk: Desk
) -> None:
    box = uplink_desk.box
    box.cli("block", "--match", "udp dst-port 53")
    box.cli("incident", "open", SERVER, "--attack", "udp_flood")
    with street.flood(SOURCES), uplink_desk.session() as page:

        def full() -> bool:
            page.goto(f"{ADDRESS}/upstream")
            return "What is dropped here comes too late" in page.inner_text("body")

        eventually(page, full, "the banner")
        text = page.inner_text("main")
        assert "limit dst" in text
        assert "65535:666" in text
        page.get_by_text("A letter to the provider").click()
        assert "Our link to you" in page.inner_text("main")
    with uplink_desk.session("viewer") as page:
        page.goto(f"{ADDRESS}/upstream")
        assert "A letter to the provider" not in page.inner_text("main"), (
            "the letter is for the operator to send"
        )


def test_a_proposal_is_approved_and_withdrawn_on_the_page(uplink_desk: Desk) -> None:
    box = uplink_desk.box
    opened = box.cli("incident", "open", "198.51.100.7", "--attack", "udp_flood")
    box.cli("upstream", "propose", opened["id"])
    with uplink_desk.session() as page:
        page.goto(ADDRESS)
        assert "Uplink isp0" in page.inner_text("main")
        eventually(page, lambda: "%" in page.locator("#uplink").inner_text(), "how full it is")
        page.get_by_role("link", name="wait for you").click()
        row = page.locator("tr", has_text="drop everything to 198.51.100.7/32")
        ask = row.locator("button", has_text="Ask (hold)")  # the script has prepared it
        ask.focus()
        page.keyboard.down("Space")  # a blackhole takes a long press
        page.wait_for_url("**/upstream?said=*")  # the page comes again, with what was done
        text = page.inner_text("main")
        assert "announced" in text
        assert "down: " in text, "the peer has no session"
        row = page.locator("tr", has_text="announced")
        row.get_by_role("button", name="Withdraw").click()
        eventually(page, lambda: row.count() == 0, "the announcement is no more")
