# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages: what they show to whom, their headers, and the files that they use."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.support.apiclient import Api, running
from tests.support.browsing import Browser, text
from tests.support.hooked import OURS
from tests.support.packets import to_frame
from tests.unit.api.test_served import served
from xdpctl.abi.constants import Reason
from xdpctl.traffic.classify import heads

STATIC = ROOT / "api" / "xdpctl_api" / "dashboard" / "static"
UPLOT = "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba"  # of 1.6.32
PAGES = ("/", "/incidents", "/rules", "/why", "/system")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 300, OURS) as api:
        yield api


@pytest.mark.parametrize("path", [*PAGES, "/login", "/static/now.js", "/rules?sort=none"])
def test_a_page_runs_nothing_but_its_own_files_and_is_in_no_frame(box: Api, path: str) -> None:
    answer = Browser(box).log_in("viewer").get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|javascript:", answer.text)


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_not_cached_and_need_no_parameter(box: Api, path: str) -> None:
    answer = Browser(box).log_in("operator").get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


def test_services_are_shown_once_they_have_answered(box: Api) -> None:
    browser = Browser(box).log_in("viewer")
    assert 'id="serving" hidden' in browser.get("/").text
    served(box, 7, 90)
    page = browser.get("/")
    assert 'id="serving">' in page.text
    assert "192.0.2.9 udp 53 270 300 270 ? 67 ms" in text(page)


def test_the_now_page_names_what_is_unusual_and_what_is_done_about_it(box: Api) -> None:
    sampler = box.context.sampler
    sampler.step(100.0)
    flood = [to_frame(f"203.0.113.{n}") for n in range(1, 101)]
    box.datapath.heads.waiting.append(heads(flood, weight=1000))
    box.datapath.heads.waiting.append(heads(flood[:50], Reason.DROPPED))
    sampler.step(101.0)
    browser = Browser(box).log_in("operator")
    browser.act("block", match="src 203.0.113.0/24", confirm_within="60s")
    shown = text(browser.get("/"))
    assert "Unclear" in shown
    assert "dst 198.51.100.7" in shown
    assert "100 k" in shown
    assert "src 203.0.113.0/24" in shown
    assert "Keep" in shown


def test_a_search_finds_rules_inside_and_around_an_address(box: Api) -> None:
    for source in ("203.0.113.0/24", "203.0.113.7", "192.88.99.9"):
        box.add(source)
    browser = Browser(box).log_in("viewer")
    for find, wanted in (
        ("203.0.113.7", {"203.0.113.0/24", "203.0.113.7/32"}),
        ("203.0.113.9", {"203.0.113.0/24"}),
        ("203.0.0.0/16", {"203.0.113.0/24", "203.0.113.7/32"}),
        ("192.88", {"192.88.99.9/32"}),
        ("nothing", set()),
    ):
        shown = text(browser.get(f"/rules?find={find}")).partition("found action")[2]
        found = set(re.findall(r"src ([0-9./]+)", shown.partition("What people changed")[0]))
        assert found == wanted, find


def test_the_list_of_rules_continues_on_the_next_page(box: Api) -> None:
    for number in range(60):
        box.add(f"203.0.113.{number}")
    browser = Browser(box).log_in("viewer")
    (following,) = re.findall(r'href="(/rules\?[^"]*cursor[^"]*)"', browser.get("/rules").text)
    shown = text(browser.get(following.replace("&amp;", "&")))
    assert "10 found" in shown
    assert "203.0.113.59/32" in shown


def test_rules_can_be_ordered_by_their_rate(box: Api) -> None:
    box.add("203.0.113.6")
    slow, fast = box.add("203.0.113.7"), box.add("203.0.113.8")
    sampler = box.context.sampler
    sampler.step(100.0)
    for rule, number in ((slow, 5), (fast, 50)):
        box.datapath.heads.waiting.append(
            heads([to_frame("203.0.113.7")] * number, Reason.DROPPED, slot=rule["slot"])
        )
    sampler.step(101.0)
    listed = box.call("GET", "/v1/rules", params={"sort": "rate"}).json()["rules"]
    assert [(each["id"], each["rate"]) for each in listed] == [
        *(("203.0.113.8_32", 50.0), ("203.0.113.7_32", 5.0), ("203.0.113.6_32", 0.0)),
    ]
    assert box.call("GET", "/v1/rules").json()["rules"][0]["rate"] is None


def test_the_why_page_names_the_author_only_to_those_who_may_know(box: Api) -> None:
    box.add("203.0.113.0/24", reason="flood")
    shown = text(Browser(box).log_in("operator").get("/why?address=203.0.113.7"))
    assert "203.0.113.0/24" in shown
    assert "operator: flood" in shown
    assert "root: rule.add" in shown
    viewer = text(Browser(box).log_in("viewer").get("/why?address=203.0.113.7"))
    assert "rule.add" not in viewer
    assert "Ticket" not in viewer


@pytest.mark.parametrize("address", ["x", "203.0.113.0/24", "1" * 300, "%00"])
def test_an_invalid_address_is_reported(box: Api, address: str) -> None:
    answer = Browser(box).log_in("viewer").get(f"/why?address={address}")
    assert answer.status_code == 400
    assert "Not done" in text(answer)


def test_a_help_desk_sees_only_one_page(box: Api) -> None:
    browser = Browser(box).log_in("helpdesk")
    assert browser.get("/").headers["location"] == "/why"
    shown = browser.get("/why?address=203.0.113.7")
    assert "Release for an hour" in text(shown)
    assert re.findall(r'<li><a href="([^"]*)"', shown.text) == ["/why"]
    assert "/static/page.js" not in shown.text, "no stream that it may not read"
    for path in set(PAGES) - {"/", "/why"}:
        assert browser.get(path).status_code == 403, path


def test_a_box_whose_state_cannot_be_read_still_has_pages(
    box: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(box).log_in("operator")
    box.context.pools.looks.stop()
    for path in ("/", "/rules"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert "Held" not in text(answer)
        assert "Not known" in text(answer)
        assert "/static/page.js" in answer.text, "which asks again"


def test_the_files_are_small_and_the_library_is_the_one_that_was_checked() -> None:
    files = list(STATIC.iterdir())
    assert sum(file.stat().st_size for file in files) <= 200_000
    library = (STATIC / "uPlot.js").read_bytes()
    assert hashlib.sha256(library).hexdigest() == UPLOT
    assert b"MIT" in (STATIC / "uPlot.LICENSE").read_bytes()
    for file in files:
        if file.suffix in (".js", ".css") and file.name != "uPlot.js":
            assert "SPDX-License-Identifier: GPL-2.0-or-later" in file.read_text()[:120], file
            assert not re.search(r"https?://", file.read_text()), file


def test_a_file_is_sent_again_only_if_it_has_changed(box: Api) -> None:
    browser = Browser(box)
    first = browser.get("/static/now.js")
    again = browser.get("/static/now.js", **{"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert browser.get("/static/../login.py").status_code == 404
