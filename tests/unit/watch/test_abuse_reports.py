# SPDX-License-Identifier: GPL-2.0-or-later
"""Abuse reports go to the notifier once, after an incident is over, if configured."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.apiclient import Api, running
from tests.support.hooked import OURS, Connected, fastnetmon, say, whole
from tests.support.receivers import Kept
from xdpctl.abi.constants import Reason
from xdpctl.abi.sizes import CAPTURE_BYTES
from xdpctl.abi.structs import Capture
from xdpctl.base.net.packets import build
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.config.file import parse
from xdpctl.errors import ConfigError
from xdpctl.incidents.abuse import Reporter
from xdpctl.notify.changes import News
from xdpctl.notify.message import Message
from xdpctl.notify.senders import by_apprise
from xdpctl.notify.settings import Kind, NotifySettings
from xdpctl.watch.abuse_reports import Reporting

WHO = Reporter("Example School District", "abuse@example.org", "example.org", send=True)
SENDER, FORGED, VICTIM = "203.0.113.7", "203.0.113.8", "198.51.100.2"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    urls = NotifySettings(("json://x",), on=(Kind.ABUSE,))
    with running(tmp_path, 2000, OURS, notify=urls, reporter=WHO) as box:
        box.context.files.prepare()
        yield box


def captured(slot: int, source: str) -> Capture:
    ends = parse_prefix(source, "x"), parse_prefix(VICTIM, "x")
    frame = build(*ends, 6, 40_000, 443)
    head = frame.ljust(CAPTURE_BYTES, b"\0")
    return Capture(5 * 10**9, 1, len(frame), Reason.LIMITED, slot, head)


def attack(box: Api, *sources: str) -> str:
    """An incident with packets of these sources, of which the first is connected."""
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]["id"]
    slot = box.call("GET", f"/v1/rules/{rule}").json()["slot"]
    listed = [captured(slot, source) for source in sources]
    box.datapath.when_capturing = lambda: box.datapath.to_capture.extend(listed)
    box.context.recorder._connections = Connected(**{SENDER: 1})  # type: ignore[assignment]
    for _ in range(2):
        box.context.recorder.look([box.controller.state.incidents[identity]])
    return str(identity)


def reporting(box: Api, monkeypatch: pytest.MonkeyPatch) -> Reporting:
    monkeypatch.setattr("xdpctl.watch.abuse_reports._SETTLES_SECONDS", -1e9)
    assert box.context.reporting is not None
    return box.context.reporting


def kept(box: Api) -> list[Message]:
    """The messages that the box would send."""
    target = Kept()
    box.context.dispatcher.targets = [target]
    return target.messages


def test_a_verified_source_is_reported_when_the_incident_is_over(
    box: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, messages = reporting(box, monkeypatch), kept(box)
    identity = attack(box, SENDER, FORGED)
    here.step(0.0)
    assert not messages, "it goes on"
    say(box, "fastnetmon", fastnetmon("unban"))
    for _ in range(2):
        here.step(0.0)
    (told,) = (message.news for message in messages)
    assert (told.kind, [name for name, _ in told.files]) == (Kind.ABUSE, [f"xarf-{SENDER}.json"])
    assert json.loads(told.files[0][1])["source_identifier"] == SENDER
    notes = [each["text"] for each in whole(box, identity)["notes"]]
    assert notes == ["1 abuse reports were given to the notifier"]


def test_possibly_forged_sources_are_not_reported(
    box: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, messages = reporting(box, monkeypatch), kept(box)
    identity = attack(box, FORGED)
    here.step(0.0)
    say(box, "fastnetmon", fastnetmon("unban"))
    here.step(0.0)
    assert not messages
    assert not whole(box, identity)["notes"]


def test_incidents_that_were_over_before_the_start_are_not_reported(
    box: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = kept(box)
    attack(box, SENDER)
    say(box, "fastnetmon", fastnetmon("unban"))
    reporting(box, monkeypatch).step(0.0)
    assert not messages


def test_abuse_reports_are_off_by_default(tmp_path: Path) -> None:
    with running(tmp_path, reporter=Reporter("a", "b@example.org", "c")) as box:
        assert box.context.reporting is None


@pytest.mark.parametrize(
    ("notify", "who", "said"),
    [
        ({}, {}, "needs notify.urls"),
        ({"urls": ["json://x"], "on": ["opened"]}, {}, "abuse in notify.on"),
        ({"urls": ["json://x"]}, {"domain": ""}, r"reporter\.domain is empty"),
    ],
)
def test_settings_missing_for_reports_are_named(
    notify: Any, who: dict[str, Any], said: str
) -> None:
    given = {"organisation": "a", "contact": "b@example.org", "domain": "c", "send": True} | who
    with pytest.raises(ConfigError, match=said):
        parse({"reporter": given, "notify": notify})


def test_a_webhook_gets_the_files() -> None:
    got = list[dict[str, Any]]()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        url = f"json://127.0.0.1:{server.server_port}"
        files = (("xarf-203.0.113.7.json", b"{}"),)
        assert by_apprise(
            url, Message(News(Kind.ABUSE, "k", "title", "text", files), "x", "", "", 0.0)
        )
        thread.join(10)
    (told,) = got
    assert told["message"] == "text"
    assert [each["filename"] for each in told["attachments"]] == ["xarf-203.0.113.7.json"]
