# SPDX-License-Identifier: GPL-2.0-or-later
"""A program is told of an attack: the running control plane posts a signed event."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import HTTPServer

import pytest

from tests.lab.conftest import SERVER, Street
from tests.support import described
from tests.support.receivers import SECRET, Taker
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually
from xdpctl.notify.senders import signature

_PORT = 8099


@pytest.fixture
def taker(street: Street) -> Iterator[None]:
    Taker.taken = []
    server = street.server.call(lambda: HTTPServer((SERVER, _PORT), Taker))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def told() -> list[dict[str, object]]:
    return [json.loads(body) for _, body in list(Taker.taken)]


@pytest.mark.usefixtures("taker")
def test_an_incident_is_told_when_it_opens_and_when_it_is_over(street_box: Box) -> None:
    box = street_box
    box.settings = (
        f'[[notify.webhooks]]\nurl = "http://{SERVER}:{_PORT}/204"\nsecret = "{SECRET}"\n'
    )
    box.start()
    assert box.cli("notify", "test") == {"notify.webhooks[0]": True}
    opened = box.cli("incident", "open", "192.0.2.9", "--attack", "udp_flood")
    assert eventually(lambda: len(Taker.taken) == 2), told()
    box.cli("incident", "close", opened["id"])
    assert eventually(lambda: len(Taker.taken) == 3), told()
    assert [each["type"] for each in told()] == [
        *("org.xdpctl.test", "org.xdpctl.opened", "org.xdpctl.closed"),
    ]
    assert {each.get("subject") for each in told()[1:]} == {opened["id"]}
    for headers, body in Taker.taken:
        described.event(json.loads(body))
        stamp, identity = headers["webhook-timestamp"], headers["webhook-id"]
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        assert headers["webhook-signature"] == signature(key, identity, stamp, body)
