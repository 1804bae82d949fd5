# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own detector, and an operator's token that is bound to an origin, outrank nobody."""

import json
import os
import pwd
import subprocess
import sys

import pytest

from tests.conftest import need
from tests.support.apiclient import TCP, Api, problem
from xdpctl.base.system.children import as_user
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Lab

_ASK = """
import http.client, json, socket, sys
said = []
for method, path, body in json.loads(sys.argv[2]):
    connection = http.client.HTTPConnection("x")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(sys.argv[1])
    connection.request(method, path, json.dumps(body), {"content-type": "application/json"})
    said.append(connection.getresponse().status)
print(json.dumps(said))
"""
_ASKED = [
    ["POST", "/v1/tokens", {"name": "mine", "role": "admin"}],
    ["POST", "/v1/rules", {"match": {"source": "203.0.113.7"}}],
    ["POST", "/v1/bypass", {"on": True}],
    ["POST", "/v1/hooks/event", {"phase": "began", "id": "1", "sources": ["203.0.113.8"]}],
    ["POST", "/v1/hooks/builtin", []],
]


def test_the_user_of_our_own_detector_has_the_rights_of_a_detector() -> None:
    """A real process of that user, over the real socket."""
    need(os.geteuid() == 0, "root")
    with Lab("roles") as lab:
        host, far = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        box, user = Box(host, ["isp0"]), pwd.getpwnam("xdpctl")
        try:
            box.start()
            command = [sys.executable, "-I", "-c", _ASK, str(box.socket), json.dumps(_ASKED)]
            done = subprocess.run(
                **as_user(command, user.pw_uid, user.pw_gid), capture_output=True, text=True
            )
        finally:
            box.remove()
    assert json.loads(done.stdout or "[]") == [403, 403, 403, 403, 200], done.stderr


@pytest.fixture
def bound(api: Api) -> str:
    return api.token("hands", "operator", origin="fastnetmon")


def test_a_token_bound_to_an_origin_accepts_nothing_that_an_operator_drops(
    api: Api, bound: str
) -> None:
    api.add("203.0.113.0/24")
    accept = {"match": {"source": "203.0.113.7"}, "action": "accept", "ttl": "1h"}
    refused = problem(api.call("POST", "/v1/rules", TCP, bound, json=accept), 409, "conflict")
    assert "may not accept what an operator drops with 203.0.113.0/24" in refused["detail"]
    elsewhere = {**accept, "match": {"source": "198.18.0.7"}}
    assert api.call("POST", "/v1/rules", TCP, bound, json=elsewhere).status_code == 201
    match = {"match": "dst 198.51.100.7 tcp dst-port 80", "action": "accept", "ttl": "1h"}
    problem(api.call("POST", "/v1/rules", TCP, bound, json=match), 403, "quota")


def test_a_token_bound_to_an_origin_does_not_change_an_operators_rule_by_asking_again(
    api: Api, bound: str
) -> None:
    api.add("203.0.113.7", ttl="10m")
    before = api.call("GET", "/v1/rules/203.0.113.7_32").json()
    again = {"match": {"source": "203.0.113.7"}, "ttl": "1h"}
    said = api.call("POST", "/v1/rules", TCP, bound, json=again).json()
    assert "nothing was changed" in str(said["warnings"])
    after = api.call("GET", "/v1/rules/203.0.113.7_32").json()
    assert (after["etag"], after["origin"]) == (before["etag"], "operator")
