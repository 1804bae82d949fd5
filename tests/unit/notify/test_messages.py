# SPDX-License-Identifier: GPL-2.0-or-later
"""What a message says, to people and to programs, and how a webhook knows that it is ours."""

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator
from http.server import HTTPServer
from typing import Any

import pytest

from tests.support import described
from tests.support.receivers import KEY, SECRET, Taker
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.config.file import parse
from xdpctl.config.listen import Listen
from xdpctl.errors import ConfigError
from xdpctl.model.incident import Incident, RuleRecord
from xdpctl.notify.changes import News, Severity, Snapshot, news
from xdpctl.notify.dispatcher import Dispatcher, Target
from xdpctl.notify.message import Message
from xdpctl.notify.senders import by_apprise, by_webhook
from xdpctl.notify.settings import Webhook

RULE = RuleRecord(
    "m-1", "dst 198.51.100.2 proto udp", "drop", "enforce", 1.0, collateral="0 of 400"
)
OPEN = Incident(
    "20261130-081900",
    "198.51.100.2/32",
    1.7e9,
    1.7e9,
    1.7e9 + 900,
    attacks=("udp_flood",),
    detectors=("x",),
    peak_pps=36_400.0,
    rules_made=1,
    rules=(RULE,),
)


def message(item: News) -> Message:
    return Message(item, "edge1", "https://edge1.example:8460", "msg_1", 1.7e9)


def began() -> Message:
    (item,) = news(Snapshot({}), Snapshot({OPEN.id: OPEN}))
    return message(item)


def test_a_title_has_the_host_the_kind_the_state_and_the_rate() -> None:
    assert began().title == "edge1: UDP flood on 198.51.100.2 began, 36.4 k packets/s"
    (item,) = news(Snapshot({}), Snapshot({}, ("the disk is full",)))
    assert message(item).title == "edge1: degraded: the disk is full"


def test_the_text_says_what_was_done_whom_it_cost_and_how_to_undo_it() -> None:
    lines = began().text.splitlines()
    assert "- in force: drop dst 198.51.100.2 proto udp, enforce" in lines
    assert "People among what they hit: 0 of 400" in lines
    assert "To end its rules: xdpctl unblock --tag incident-20261130-081900" in lines
    assert lines[-1] == "https://edge1.example:8460/incidents/20261130-081900"


def test_the_severity_is_that_of_the_change() -> None:
    closed = OPEN.replace(closed_at=1.7e9 + 60)
    for before, now, severity in (
        (Snapshot({}), Snapshot({OPEN.id: OPEN}), Severity.WARNING),
        (Snapshot({OPEN.id: OPEN}), Snapshot({OPEN.id: closed}), Severity.SUCCESS),
        (Snapshot({}), Snapshot({}, ("x",)), Severity.FAILURE),
        (Snapshot({}, ("x",)), Snapshot({}), Severity.SUCCESS),
    ):
        (item,) = news(before, now)
        assert item.severity is severity


@pytest.fixture
def taker() -> Iterator[str]:
    Taker.taken = []
    server = HTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_a_cloud_event_with_a_signature_that_it_can_check(taker: str) -> None:
    assert by_webhook(Webhook(f"{taker}/204", SECRET), began())
    ((headers, body),) = Taker.taken
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["content-type"] == "application/cloudevents+json"
    event = json.loads(body)
    described.event(event)
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject")} == {
        **{"specversion": "1.0", "id": "msg_1", "source": "/xdpctl/edge1"},
        **{"type": "org.xdpctl.opened", "subject": "20261130-081900"},
    }
    assert event["time"] == "2023-11-14T22:13:20.000+00:00"
    data = event["data"]
    assert (data["severity"], data["host"]) == ("warning", "edge1")
    assert data["incident"]["opened_at"] == "2023-11-14T22:13:20Z"
    assert data["incident"]["rules"][0]["people"] == "0 of 400"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_anything_but_success_is_a_refusal_and_no_redirect_is_followed(
    taker: str, status: int
) -> None:
    assert not by_webhook(Webhook(f"{taker}/{status}", SECRET), began())
    assert len(Taker.taken) == 1


def test_a_webhook_that_is_not_there_is_a_refusal_without_its_url_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert not by_webhook(Webhook("http://127.0.0.1:1/token", SECRET), began())
    assert "cannot be reached" in caplog.text
    assert "token" not in caplog.text


def test_a_message_that_is_sent_again_has_the_same_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xdpctl.notify.dispatcher._TRIES", (0.0, 0.0))
    tried = list[str]()

    def send(message: Message) -> bool:
        tried.append(message.identity)
        return len(tried) > 1

    Target("notify.webhooks[0]", send, threading.Event()).deliver(began())
    assert tried == ["msg_1", "msg_1"]


def test_neither_a_secret_url_nor_what_the_webhook_answers_is_logged(
    taker: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for status in (204, 500):
        by_webhook(Webhook(f"{taker}/{status}", SECRET), began())
    assert taker not in caplog.text


def test_a_mail_has_the_lines_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    given: dict[str, Any] = {}
    monkeypatch.setattr(apprise.Apprise, "notify", lambda _, **kw: given.update(kw) or True)
    assert by_apprise("json://127.0.0.1/", began())
    assert given["body_format"] == apprise.NotifyFormat.TEXT
    assert given["notify_type"] == "warning"


def test_webhooks_are_read_from_the_settings() -> None:
    read = parse({"notify": {"webhooks": [{"url": "https://x.example/h", "secret": SECRET}]}})
    (hook,) = read.notify.webhooks
    assert hook.key == KEY
    made = Dispatcher(read.notify, lambda: Snapshot({}), "x")
    assert [target.name for target in made.targets] == ["notify.webhooks[0]"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "https://x"}, "secret"),
        ({"url": "ftp://x", "secret": SECRET}, r"notify\.webhooks\[1\]\.url"),
        ({"url": "https://x", "secret": "whsec_%%"}, r"notify\.webhooks\[1\]\.secret must be"),
        ({"url": "https://x", "secret": "whsec_YWJj"}, "24 to 64 bytes"),
        ({"url": "https://x", "secret": SECRET.removeprefix("whsec_")}, "must be whsec_"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        parse({"notify": {"webhooks": [given]}})
    assert SECRET not in str(refused.value)


def test_the_address_of_the_pages_is_the_first_name_that_people_type() -> None:
    assert Listen().address == "http://127.0.0.1:8460"
    assert Listen(host="::1").address == "http://[::1]:8460"
    assert Listen(names=("edge1.example",), port=443).address == "http://edge1.example:443"
    assert Listen(port=0).address == ""


def test_others_are_told_an_address_only_if_its_name_is_known() -> None:
    assert Listen().shared_address == Listen(host="0.0.0.0").shared_address == ""
    assert Listen(names=("edge1.example",)).shared_address == "http://edge1.example:8460"
    proxied = Listen(names=("edge1.example",), trusted_proxies=(parse_prefix("192.0.2.9"),))
    assert proxied.shared_address == "https://edge1.example"
