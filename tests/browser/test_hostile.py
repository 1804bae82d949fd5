# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of attackers, detectors and people stay text, and each role may do only its own actions."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import ADDRESS, Desk, is_live
from tests.lab.conftest import SERVER
from xdpctl.errors import Refused
from xdpctl.model.event import plain

_MADE = "a[href^='//'], img, script:not([src])"  # of a payload, and never of a page
PAYLOADS = (
    "<script>document.body.dataset.owned = 1</script>",
    '<img src=x onerror="document.body.dataset.owned = 1">',
    '"><svg onload=document.body.dataset.owned=1>',
    "'-document.body.dataset.owned=1-'",
    "javascript:document.body.dataset.owned=1",
    "{{ 7 * 7 }} {% raw %}",
    "</template></table><a href=//evil.example>log in</a>",
    "\u202egnp.exe\u0000\u001b[31m",
)


def furnish(desk: Desk) -> list[str]:
    """Put each payload into each place that strangers or users can fill; return the pages."""
    call = desk.box.client.call
    call("PUT", "/v1/automatic", json={"mode": "on"})
    opened = call("POST", "/v1/incidents", json={"victim": SERVER, "note": PAYLOADS[0]})
    for number, text in enumerate(PAYLOADS):
        source = f"203.0.113.{number + 1}"
        call("POST", "/v1/rules", json={"match": {"source": source}, "reason": plain(text)})
        call("POST", f"/v1/incidents/{opened['id']}/notes", json={"text": text})
        said = {"phase": "began", "id": text, "victim": SERVER, "attack": "udp_flood", "note": text}
        call("POST", "/v1/hooks/event", json=said)
    call(
        "POST",
        "/v1/rules",
        json={"match": "udp dst-port 9", "mode": "monitor", "reason": PAYLOADS[0]},
    )
    ids = [each["id"] for each in call("GET", "/v1/incidents")["incidents"]]
    pages = ["/", "/incidents", *(f"/incidents/{each}" for each in ids)]
    return [*pages, "/rules", "/why?address=203.0.113.1", "/system"]


def test_stored_text_is_shown_and_never_run_as_script(desk: Desk) -> None:
    paths = furnish(desk)
    with desk.session("admin") as page:
        for path in paths:
            page.goto(ADDRESS + path)
            page.wait_for_timeout(300)
            assert page.evaluate("document.body.dataset.owned") is None, path
            assert not page.locator(_MADE).count(), path
            assert "49" not in page.locator("main").inner_text().split(), path
        page.goto(ADDRESS + "/rules")
        assert PAYLOADS[0] in page.inner_text("main")


def test_query_parameters_are_shown_and_never_run_as_script(desk: Desk) -> None:
    paths = ("/why?address=", "/rules?find=", "/system?actor=", "/login?next=", "/?said=")
    with desk.session() as page:
        for text in PAYLOADS:
            encoded = quote(text)
            for path in paths:
                page.goto(ADDRESS + path + encoded)
                assert page.evaluate("document.body.dataset.owned") is None, (path, text)
                assert not page.locator(_MADE).count(), (path, text)


def acts(page: Page, action: str, **fields: str) -> int:
    """The HTTP status of an action, requested as the page's own script does it."""
    ask = """async ([action, body]) => (await fetch(`/actions/${action}`, {
        method: "POST", body: new URLSearchParams(JSON.parse(body)),
        headers: {accept: "application/json"}})).status"""
    status: int = page.evaluate(ask, [action, json.dumps(fields)])
    return status


def test_a_viewer_can_look_but_change_nothing(desk: Desk) -> None:
    desk.box.cli("block", "203.0.113.7")
    with desk.session("viewer") as page:
        is_live(page)
        page.wait_for_timeout(2500)  # figures come, and no script fails
        for path in ("/", "/rules", "/incidents", "/system"):
            page.goto(ADDRESS + path)
            buttons = page.locator("main form[method=post]:visible, .switches form[data-act]")
            assert buttons.count() == 0, path
        assert acts(page, "remove", id="203.0.113.7_32") == 403
        assert acts(page, "bypass", on="true", sure="yes") == 403
        assert acts(page, "create-token", name="x", role="admin") == 403
    assert desk.box.cli("list")[0]["id"] == "203.0.113.7_32"


def test_a_help_desk_releases_one_address_for_an_hour_and_nothing_else(desk: Desk) -> None:
    desk.box.cli("block", "203.0.113.0/24", "--reason", "flood")
    with desk.session("helpdesk") as page:
        assert page.url == f"{ADDRESS}/why"
        assert page.locator("nav a").all_inner_texts() == ["Why"]
        for path in ("/rules", "/incidents", "/system"):
            page.goto(ADDRESS + path)
            assert "role" in page.inner_text("h1").lower(), path
        page.goto(f"{ADDRESS}/why?address=203.0.113.7")
        page.get_by_label("Ticket").fill("4711")
        page.get_by_role("button", name="Release for an hour").click()
        page.get_by_text("Nothing on this box keeps 203.0.113.7 out").wait_for()
        assert acts(page, "release", source="203.0.113.8", ttl="2h", ticket="1") == 400
        assert acts(page, "release", source="203.0.113.8", ttl="1h") == 400
        assert acts(page, "release", source="203.0.113.0/25", ttl="1h", ticket="1") == 400
        assert acts(page, "remove", id="203.0.113.0_24") == 403
        assert acts(page, "undo", change="1") == 403
    rule: dict[str, Any] = desk.box.cli("why", "203.0.113.7/32")
    assert rule["reason"] == "ticket 4711"
    assert 3500 < rule["expires_in"] <= 3600


def test_a_session_ends_with_its_token(desk: Desk) -> None:
    with desk.session() as page:
        (token,) = desk.box.client.call("GET", "/v1/tokens")["tokens"]
        desk.box.client.call("DELETE", f"/v1/tokens/{token['name']}")
        acts(page, "block", match="src 203.0.113.7")
        page.goto(ADDRESS + "/rules")
        assert "/login" in page.url
        assert page.url.endswith("next=/rules")
    with pytest.raises(Refused, match="there is no rule"):
        desk.box.client.call("GET", "/v1/rules/203.0.113.7_32")
