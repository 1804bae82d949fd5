# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator during an attack: log in, find the flood, apply a suggestion, and undo it."""

from playwright.sync_api import Page

from tests.browser.conftest import ADDRESS, Desk, eventually, is_live
from tests.lab.conftest import SERVER, Street

SOURCES = [f"203.0.113.{n}" for n in range(1, 101)]
MATCH = f"dst {SERVER} proto udp dst-port 53"


def word(page: Page) -> str:
    return page.locator("h1").inner_text().split(maxsplit=1)[-1]


def test_a_flood_is_named_then_dropped_then_let_through_again(street: Street, desk: Desk) -> None:
    with street.flood(SOURCES), desk.session() as page:
        is_live(page)
        row = page.locator("#matches li").first
        eventually(page, lambda: MATCH in (row.text_content() or ""), "the flood is named")
        assert word(page) == "Unclear", "there is no earlier traffic to compare with"
        row.get_by_role("button", name="Drop for 60 s").click()
        eventually(page, lambda: "drop: " in page.locator("#said").inner_text(), "it was done")
        eventually(page, lambda: word(page) == "Quiet", "held")
        eventually(page, lambda: page.locator("#drop_packets").inner_text() != "0", "drops")
        rule = page.locator("#waits li").first
        eventually(page, lambda: rule.get_by_role("button", name="Keep").is_visible(), "a trial")
        rule.get_by_role("button", name="Keep").click()
        eventually(page, lambda: "kept until" in page.locator("#said").inner_text(), "kept")
        page.locator("#said").get_by_role("button", name="Undo").click()
        eventually(page, lambda: "undone: " in page.locator("#said").inner_text(), "undone")
        eventually(page, rule.get_by_role("button", name="Keep").is_visible, "a trial again")
        rule.get_by_role("button", name="Remove").click()
        eventually(page, lambda: "removed: " in page.locator("#said").inner_text(), "removed")
        eventually(page, lambda: word(page) == "Unclear", "no longer held")


def test_the_forms_limit_a_match_and_add_a_rule(street: Street, desk: Desk) -> None:
    with street.flood(SOURCES), desk.session() as page:
        is_live(page)
        row = page.locator("#matches li").first
        eventually(page, lambda: MATCH in (row.text_content() or ""), "the flood is named")
        row.get_by_role("button", name="Limit").click()
        eventually(page, lambda: "limit to " in page.locator("#said").inner_text(), "it is limited")
        assert page.locator("#said").get_by_role("button", name="Keep").is_visible()
        page.goto(ADDRESS + "/rules")
        page.get_by_text("Add a rule").click()
        page.get_by_label("Match").fill("198.51.100.9")
        page.get_by_role("button", name="Add", exact=True).click()
        eventually(page, lambda: "198.51.100.9/32" in page.inner_text("main"), "it is added")
        assert "drop: packets from 198.51.100.9" in page.locator("#said").inner_text()


def test_the_page_says_when_a_trial_has_ended(street: Street, desk: Desk) -> None:
    with street.flood(SOURCES), desk.session() as page:
        is_live(page)
        row = page.locator("#matches li").first
        eventually(page, lambda: MATCH in (row.text_content() or ""), "the flood is named")
        page.locator("#matches [name=confirm_within]").first.evaluate("field => field.value = '3s'")
        row.get_by_role("button", name="Drop for 60 s").click()
        page.mouse.move(0, 0)
        said = page.locator("#said")
        eventually(page, lambda: "The trial has ended" in said.inner_text(), "the end")
        said.get_by_role("button", name="Once more").click()
        eventually(page, lambda: "drop: " in said.inner_text(), "again")


def test_releasing_one_address_leaves_the_drop_of_the_flood_in_force(
    street: Street, desk: Desk
) -> None:
    desk.box.cli("block", "203.0.113.0/24", "--reason", "flood")
    with street.flood(SOURCES), desk.session() as page:
        page.goto(f"{ADDRESS}/why?address=203.0.113.7")
        assert "203.0.113.7 is kept out by an operator's drop (flood)" in page.inner_text("main")
        page.get_by_label("Ticket").fill("4711")
        page.get_by_role("button", name="Release for an hour").click()
        eventually(
            page,
            lambda: "Nothing on this box keeps 203.0.113.7 out" in page.inner_text("main"),
            "it passes",
        )
        assert "ticket 4711" in page.inner_text("main")
        page.goto(f"{ADDRESS}/rules?find=203.0.113.7")
        assert page.locator("tbody").first.locator("tr").count() == 2
