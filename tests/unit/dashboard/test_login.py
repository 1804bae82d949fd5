# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may look at the dashboard: tokens, links, cookies, and requests of other sites' pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import LOCAL, TCP, Api, problem, running
from tests.support.browsing import ORIGIN, Browser, text

RULES = "/v1/rules"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


@pytest.mark.parametrize("path", ["/", "/rules", "/why?address=203.0.113.7", "/incidents/x"])
def test_a_stranger_is_asked_to_log_in(api: Api, path: str) -> None:
    answer = Browser(api).get(path)
    assert answer.status_code == 303
    shown = Browser(api).get(answer.headers["location"])
    assert f'value="{path}"' in shown.text, "to come back to"


def test_a_token_is_exchanged_for_a_cookie_that_scripts_cannot_read(api: Api) -> None:
    secret = api.token("anna", "operator")
    browser = Browser(api)
    answer = browser.post("/login", token=secret, next="/rules")
    assert (answer.status_code, answer.headers["location"]) == (303, "/rules")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("xdpctl=")
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert "domain" not in cookie
    assert secret not in answer.headers["set-cookie"]
    assert browser.get("/rules").status_code == 200


def test_over_tls_the_cookie_is_bound_to_this_host(api: Api) -> None:
    secret = api.token("anna", "viewer")
    headers = {"sec-fetch-site": "same-origin", "origin": "https://127.0.0.1:8460"}
    answer = api.call(
        "POST", "https://127.0.0.1:8460/login", TCP, headers=headers, data={"token": secret}
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-xdpctl=")
    assert "Secure" in cookie


@pytest.mark.parametrize("token", ["xdpctl_wrong", "x" * 5000])
def test_a_wrong_token_is_reported_and_sets_no_cookie(api: Api, token: str) -> None:
    answer = Browser(api).post("/login", token=token)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_without_a_token_nobody_is_logged_in(api: Api) -> None:
    answer = Browser(api).post("/login", token="")
    assert answer.headers["location"].startswith("/login")
    assert "set-cookie" not in answer.headers


def test_a_detector_has_no_pages(api: Api) -> None:
    secret = api.token("probe", "detector", origin="fastnetmon")
    answer = Browser(api).post("/login", token=secret)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_link_works_once_and_for_two_minutes(api: Api) -> None:
    made = api.call("POST", "/v1/browsers/links").json()
    assert made["url"].startswith(f"{ORIGIN}/login?code=")
    browser = Browser(api)
    path = made["url"].removeprefix(ORIGIN)
    assert browser.get(path).headers["location"] == "/"
    assert "Unclear" in text(browser.get("/"))
    again = Browser(api).get(path)
    assert (again.status_code, "used up" in text(again)) == (401, True)
    assert "set-cookie" not in again.headers


def test_login_links_can_be_made_only_on_the_box(api: Api) -> None:
    token = api.token("boss", "admin")
    problem(api.call("POST", "/v1/browsers/links", TCP, token), 403, "role")
    problem(api.call("POST", "/v1/browsers/links", LOCAL, token), 403, "role")


def test_the_number_of_unopened_login_links_is_bounded(api: Api) -> None:
    answers = [api.call("POST", "/v1/browsers/links").status_code for _ in range(40)]
    assert (answers[0], answers[-1]) == (201, 503)


def test_a_session_reads_and_changes_as_its_token_may(api: Api) -> None:
    browser = Browser(api).log_in("operator")
    assert browser.get(RULES).status_code == 200
    assert browser.act("block", match="src 203.0.113.7")["undo"] == 1
    record = api.call("GET", "/v1/audit").json()["records"][-1]
    assert record["actor"] == "token of-operator"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "same-origin", "origin": "http://evil.example"},
    ],
)
def test_a_page_of_another_site_changes_nothing(api: Api, headers: dict[str, str]) -> None:
    browser = Browser(api).log_in("operator")
    cookie = {"cookie": f"xdpctl={browser.cookies['xdpctl']}", **headers}
    match = {"match": "src 203.0.113.7"}
    for answer in (
        api.call("POST", "/actions/block", TCP, headers=cookie, data=match),
        api.call("POST", RULES, TCP, headers=cookie, json=match),
    ):
        assert answer.status_code in (303, 401, 403), answer.text
    assert not api.call("GET", RULES).json()["rules"]


def test_another_name_of_this_host_is_refused(api: Api) -> None:
    browser = Browser(api).log_in("viewer")
    answer = browser.get("/", host="rebound.example")
    assert answer.status_code == 421


def test_a_session_ends_with_its_token_and_after_twelve_hours(api: Api) -> None:
    browser = Browser(api).log_in("operator")
    api.clock.advance(12 * 3600 - 1)
    assert browser.get("/rules").status_code == 200
    api.clock.advance(2)
    assert browser.get("/rules").status_code == 303
    browser = Browser(api)
    browser.post("/login", token=api.token("short", "operator", ttl="1h"))
    assert browser.get("/rules").status_code == 200
    api.call("DELETE", "/v1/tokens/short")
    assert browser.get("/rules").status_code == 303


def test_a_clock_that_goes_back_ends_no_session(api: Api) -> None:
    browser = Browser(api).log_in("operator")
    api.clock.unix -= 7200
    assert browser.get("/rules").status_code == 200


def test_after_logging_out_the_session_is_invalid(api: Api) -> None:
    browser = Browser(api).log_in("operator")
    before = dict(browser.cookies)
    assert browser.post("/logout").headers["location"] == "/login"
    assert browser.get("/rules").status_code == 303
    assert Browser(api, before).get("/rules").status_code == 303, "a copy is worth nothing"


def test_cookies_of_other_services_of_the_host_disturb_nothing(api: Api) -> None:
    browser = Browser(api).log_in("viewer")
    own = f"xdpctl={browser.cookies['xdpctl']}"
    cookie = b"other=\xc3\xbc; " + own.encode() + b"; more=\xff"
    for path in ("/", "/rules"):
        answer = api.call("GET", path, TCP, headers={"cookie": cookie})
        assert answer.status_code == 200


def test_a_message_is_shown_only_for_a_while(api: Api) -> None:
    browser = Browser(api).log_in("operator")
    where = browser.post("/actions/block", match="src 203.0.113.7").headers["location"]
    assert "drop: packets from 203.0.113.7" in text(browser.get(where))
    api.clock.advance(601)
    assert "drop: packets from 203.0.113.7" not in text(browser.get(where))


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "." * 3000, "%ff"])
def test_an_invented_cookie_is_no_session(api: Api, cookie: str) -> None:
    assert Browser(api, {"xdpctl": cookie}).get("/rules").status_code == 303


def test_a_sealed_text_of_another_purpose_is_no_session(api: Api) -> None:
    sealed = api.context.sessions.seal("said", ["root", "", 2**40, "x"])
    assert Browser(api, {"xdpctl": sealed}).get("/rules").status_code == 303


@pytest.mark.parametrize(
    "back",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nX: y", "javascript:x"],
)
def test_login_never_redirects_to_another_site(api: Api, back: str) -> None:
    secret = api.token("anna", "operator")
    assert Browser(api).post("/login", token=secret, next=back).headers["location"] == "/"
    browser = Browser(api)
    browser.post("/login", token=secret)
    answer = browser.post("/actions/block", match="src 203.0.113.7", back=back)
    assert answer.headers["location"].startswith("/?said=")
