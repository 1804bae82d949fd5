# SPDX-License-Identifier: GPL-2.0-or-later
"""Authentication: a caller's identity comes only from the socket it used, and from a token."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.security.certificates import certify
from tests.support.apiclient import TCP, Api, problem
from xdpctl.config.file import parse
from xdpctl.config.listen import Listen
from xdpctl.errors import ConfigError
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import HANG_SECONDS
from xdpctl.model.identity import Caller, Role
from xdpctl.processes.sockets import unfit
from xdpctl_api.transport.callers import Hosts
from xdpctl_api.transport.listeners import listener_config

PORT = 8460
FORGED = {
    "X-Forwarded-For": "local:root",
    "X-Real-IP": "local:root",
    "Forwarded": 'for="local:root"',
    "X-Forwarded-Proto": "unix",
}


@pytest.mark.parametrize("header", FORGED)
def test_no_header_makes_a_remote_caller_local(api: Api, header: str) -> None:
    answer = api.call("GET", "/v1/rules", TCP, headers={header: FORGED[header]})
    problem(answer, 401, "access")


def test_a_remote_client_named_local_has_no_rights(api: Api) -> None:
    """Even if a proxy in front of the box has set the client's name."""
    problem(api.call("GET", "/v1/tokens", ("local", 1)), 401, "access")


def ask(host: Host, *lines: str, to: int = PORT) -> bytes:
    """Make one request over TCP, inside the host."""

    def call() -> bytes:
        with socket.create_connection(("127.0.0.1", to), timeout=HANG_SECONDS) as door:
            door.sendall("\r\n".join((*lines, "connection: close", "", "")).encode())
            return b"".join(iter(lambda: door.recv(65536), b""))

    return host.call(call)


def test_the_running_port_ignores_proxy_headers(box: Box) -> None:
    box.port = PORT
    box.start()
    asked = ("GET /v1/tokens HTTP/1.1", "host: 127.0.0.1:8460")
    for header, value in FORGED.items():
        assert b" 401 " in ask(box.host, *asked, f"{header}: {value}").split(b"\r\n")[0], header
    assert (
        b" 421 " in ask(box.host, "GET /healthz HTTP/1.1", "host: rebound.example").split(b"\r")[0]
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "rebound.example:8460"},
        {"Host": "127.0.0.1.rebound.example"},
        {"Host": "[::1].rebound.example"},
        {"Host": ""},
    ],
)
def test_a_request_for_another_host_name_is_misdirected(api: Api, headers: dict[str, str]) -> None:
    token = api.token("boss", "admin")
    problem(api.call("GET", "/v1/rules", TCP, token, headers=headers), 421, "host")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_may_not_use_the_api(api: Api, headers: dict[str, str]) -> None:
    token = api.token("boss", "admin")
    answer = api.call("POST", "/v1/bypass", TCP, token, headers=headers, json={"on": True})
    problem(answer, 403, "cross-site")
    assert not api.datapath.bypass()


def test_host_names_are_compared_as_a_whole() -> None:
    hosts = Hosts(("xdp.school.example",))
    for fine in ("localhost", "127.0.0.1:1", "[::1]:8460", "XDP.school.example.:8460"):
        assert hosts.allows(fine), fine
    for wrong in ("school.example", "xdp.school.example.evil", "", "[::1", "[x]:1", "local host"):
        assert not hosts.allows(wrong), wrong


def test_a_trusted_proxy_is_a_single_address() -> None:
    with pytest.raises(ConfigError, match="single addresses"):
        parse({"listen": {"trusted_proxies": ["0.0.0.0/0"]}})


def test_another_process_on_the_port_does_not_stop_the_box(box: Box) -> None:
    def squat() -> socket.socket:
        taken = socket.socket()
        taken.bind(("127.0.0.1", PORT))
        taken.listen()
        return taken

    squatter = box.host.call(squat)
    box.port = PORT
    try:
        box.start()
        assert box.client.call("GET", "/v1/status")["rules"]["total"] == 0
        assert "cannot listen on 127.0.0.1 port 8460" in box.log.read_text()
    finally:
        squatter.close()


def test_the_port_is_opened_by_root_and_handed_over(box: Box) -> None:
    box.port = PORT
    box.start()
    listeners = box.host.sh("ss", "-Htlnp", f"sport = :{PORT}")
    assert f"pid={box.processes()[0]}" in listeners or "xdpctl" in listeners
    box.host.call(lambda: socket.create_connection(("127.0.0.1", PORT), 5).close())


BOUND = Caller("token fnm", Role.OPERATOR, "fastnetmon")


def test_a_token_bound_to_an_origin_acts_only_for_that_origin(api: Api) -> None:
    token = api.token("fnm", "operator", origin="fastnetmon")
    said = {"phase": "began", "id": "1", "sources": ["203.0.113.7"]}
    answer = api.call("POST", "/v1/hooks/event", TCP, token, json=said)
    problem(answer, 403, "role")
    for method, path, body in (
        ("POST", "/v1/bypass", {"on": True}),
        ("PUT", "/v1/automatic", {"mode": "off"}),
        ("POST", "/v1/automatic/undo", {"since": "1h"}),
        ("POST", "/v1/automatic/reload", None),
        ("POST", "/v1/notifications/test", None),
    ):
        problem(api.call(method, path, TCP, token, json=body), 403, "role")
    assert not api.datapath.bypass()


def test_a_caller_without_a_token_does_not_learn_which_hooks_exist(api: Api) -> None:
    for name in ("suricata", "no-such-hook"):
        problem(api.call("POST", f"/v1/hooks/{name}", TCP, json={}), 401, "access")


def test_tls_has_forward_secrecy_in_every_suite(tmp_path: Path) -> None:
    certificate, key = certify(tmp_path)
    listen = Listen(tls_certificate=certificate, tls_key=key)

    async def nothing(*_: object) -> None:
        """An application that is never asked."""

    config = listener_config(nothing, False, listen)
    config.load()
    assert config.ssl is not None
    assert config.ssl.minimum_version >= ssl.TLSVersion.TLSv1_2
    suites = [one for one in config.ssl.get_ciphers() if one["protocol"] != "TLSv1.3"]
    assert suites
    assert all(one["kea"] == "kx-ecdhe" for one in suites), suites


def test_the_box_does_not_start_without_its_own_user(box: Box) -> None:
    box.settings = 'user = "nobody"\ngroup = "no-such-group"\n'
    command = ("no-such-group", "useradd --system")
    with pytest.raises(Exception, match="did not become ready"):
        box.start()
    assert all(word in box.log.read_text() for word in command)


@pytest.mark.parametrize(
    ("host", "listen", "why"),
    [
        ("127.0.0.1", {"port": 0}, "disable"),
        ("127.0.0.1", {"port": 9}, "port"),
        ("0.0.0.0", {}, "tls_certificate"),
        ("127.0.0.1", {}, ""),
        ("0.0.0.0", {"tls_certificate": Path("/c"), "tls_key": Path("/k")}, ""),
    ],
)
def test_a_socket_unit_with_another_port_than_the_settings_is_not_served(
    host: str, listen: dict[str, Any], why: str
) -> None:
    """The socket unit has another address than the configuration, so it was never checked."""
    with socket.create_server((host, 0)) as handed:
        wanted = Listen(**{"port": handed.getsockname()[1], **listen})
        said = unfit(handed, wanted).lower()
    assert why in said
    assert bool(said) is bool(why)
