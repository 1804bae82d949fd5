# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages that stay open: several tabs, a control plane that is killed, a session that is left."""

from playwright.sync_api import Page

from tests.browser.conftest import ADDRESS, Desk, eventually, is_live
from tests.lab.conftest import Street

SOURCES = [f"203.0.113.{n}" for n in range(1, 101)]
STREAM = f"{ADDRESS}/v1/stream"


def holders(page: Page) -> list[str]:
    """The tabs that hold or wait for the lock of the stream; one of them holds it."""
    held: list[str] = page.evaluate(
        "navigator.locks.query().then(({held}) => held.map(({name}) => name))"
    )
    return held


def test_ten_tabs_share_one_stream_and_another_tab_takes_it_over(desk: Desk) -> None:
    with desk.session() as first:
        is_live(first)
        asked: list[Page] = []
        context = first.context
        context.on("request", lambda r: asked.append(r.frame.page) if r.url == STREAM else None)
        tabs = [context.new_page() for _ in range(9)]
        for tab in tabs:
            tab.goto(ADDRESS)
            is_live(tab)
        assert holders(first) == ["xdpctl-stream"]
        assert set(asked) <= {first}
        first.close()
        left = tabs[-1]
        eventually(left, lambda: set(asked) - {first}, "another tab reads the stream")
        seen = left.locator("#pass_packets").inner_text()
        left.wait_for_timeout(5000)
        assert left.locator("#lost").is_hidden(), seen


def test_the_page_says_that_the_control_plane_is_gone_and_recovers_when_it_is_back(
    street: Street, desk: Desk
) -> None:
    with street.flood(SOURCES), desk.session() as page:
        is_live(page)
        desk.box.kill()
        eventually(page, page.locator("#lost").is_visible, "it says that nothing comes")
        assert "Not known" in page.inner_text("h1"), "the page claims nothing"
        assert "The filter does not need it" in page.locator("#lost").inner_text()
        page.wait_for_timeout(4000)
        desk.box.start()
        eventually(page, page.locator("#lost").is_hidden, "it is live again, by itself")
        page.wait_for_timeout(2500)
        gaps = page.evaluate(
            "import('/static/now.js').then(({shown}) => shown().filter((v) => v === null).length)"
        )
        assert gaps >= 1, "the time without figures is a gap"
        page.goto(ADDRESS + "/rules")
        assert "/login" not in page.url, "the session outlives the process"


def test_the_plots_begin_anew_when_the_clock_is_set_back(desk: Desk) -> None:
    with desk.session() as page:
        is_live(page)
        eventually(page, lambda: drawn(page) > 5, "some seconds are drawn")
        other = page.context.new_page()
        other.goto(ADDRESS + "/incidents")
        other.evaluate("""new BroadcastChannel("xdpctl").postMessage({kind: "figures", data: {
            time: Date.now() / 1000 - 3600, figures: {}, bypass: false, automatic: "on"}})""")
        eventually(page, lambda: drawn(page) <= 5, "the plots begin anew")


def drawn(page: Page) -> int:
    """The number of seconds in the plots."""
    number: int = page.evaluate("import('/static/now.js').then(({shown}) => shown().length)")
    return number


def test_after_logging_out_the_cookie_is_worth_nothing(desk: Desk) -> None:
    with desk.session() as page:
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (
            *("xdpctl", True, "Strict"),
        )
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        again = {"name": cookie["name"], "value": cookie["value"], "url": ADDRESS}
        page.context.add_cookies([again])  # type: ignore[list-item]
        page.goto(ADDRESS + "/rules")
        assert "/login" in page.url


def test_a_link_of_the_box_logs_in_once(desk: Desk) -> None:
    link = desk.box.cli("dashboard")["url"]
    with desk.session(None) as page:
        page.goto(link)
        assert page.locator("h1").inner_text().endswith(("Quiet", "Holding", "Unclear"))
        page.context.clear_cookies()
        page.goto(link)
        assert "used up" in page.inner_text("main")


def test_everything_works_without_scripts(street: Street, desk: Desk) -> None:
    with street.flood(SOURCES), desk.session(java_script_enabled=False) as page:
        row = page.locator("#matches li").first

        def is_named() -> bool:
            page.goto(ADDRESS)
            return row.count() > 0

        eventually(page, is_named, "the flood, after some reloads")
        assert "dst-port 53" in (row.text_content() or "")
        row.get_by_role("button", name="Drop for 60 s").click()
        assert "drop: " in page.locator("#said").inner_text()
        page.get_by_role("button", name="Keep dst").click()
        assert "kept until" in page.locator("#said").inner_text()
        page.locator("#said").get_by_role("button", name="Undo").click()
        assert "undone: " in page.locator("#said").inner_text()
        page.goto(ADDRESS + "/rules")
        page.get_by_text("Add a rule").click()
        page.get_by_label("Match").fill("src 203.0.113.999")
        page.get_by_role("button", name="Add", exact=True).click()
        assert "Not done" in page.inner_text("h1")
        page.get_by_role("link", name="Back").click()
        page.get_by_text("Bypass", exact=True).click()
        page.get_by_label("everything shall pass").check()
        page.get_by_role("button", name="Let everything pass").click()
        assert desk.box.client.call("GET", "/v1/bypass")["on"]
        page.get_by_role("button", name="Filter again").click()
        assert not desk.box.client.call("GET", "/v1/bypass")["on"]
