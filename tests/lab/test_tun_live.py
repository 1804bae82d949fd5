# SPDX-License-Identifier: GPL-2.0-or-later
"""A box that filters on a tun interface, whose packets have no Ethernet header, with real programs.

The same on WireGuard, GRE, 6in4, IPIP and PPP: tests/vm/links.py.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lab.serving import fetched, running, serving
from tests.lab.test_challenges_live import BOX, CLIENT, connect, doctor
from tests.lab.tun import tunnel
from xdpctl.base.system.children import python
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

BOX6, CLIENT6 = "2001:db8::1", "2001:db8::2"
SYN_OF_CLIENTS = "dst-port 80 tcp flags syn&!ack&!rst"


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with Lab("tun") as lab:
        host, far = lab.host("box"), lab.host("far")
        with tunnel(host, far), serving(host):
            for one, four, six in ((host, BOX, BOX6), (far, CLIENT, CLIENT6)):
                one.ip(f"addr add {four}/24 dev tun0")
                one.ip(f"addr add {six}/64 dev tun0 nodad")
            yield host, far


@pytest.fixture
def box(hosts: tuple[Host, Host]) -> Iterator[Box]:
    box = Box(hosts[0], ["tun0"])
    box.settings = 'interfaces = [{name = "tun0", side = "outside"}]\n'
    with running(box):
        yield box


def test_rules_decide_what_comes_out_of_a_tunnel(box: Box, hosts: tuple[Host, Host]) -> None:
    far = hosts[1]
    assert eventually(lambda: fetched(far, BOX))
    assert fetched(far, f"[{BOX6}]")
    for source, to in ((CLIENT, BOX), (CLIENT6, f"[{BOX6}]")):
        rule = box.client.call(
            "POST", "/v1/rules", json={"match": f"src {source}", "action": "drop", "force": True}
        )
        assert not fetched(far, to)
        interface = box.client.call("GET", "/v1/status")["interfaces"]["tun0"]
        assert interface["mode"] == "generic"
        box.client.call("DELETE", f"/v1/rules/{rule['id']}")
        assert fetched(far, to), "the rule is gone"
    assert "tun" in doctor(hosts[0], "tun0")


def test_an_outside_tunnel_knows_its_flows(box: Box, hosts: tuple[Host, Host]) -> None:
    host, far = hosts
    box.client.call(
        "POST", "/v1/rules", json={"match": f"src {CLIENT} udp", "action": "drop", "force": True}
    )
    answered = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
    asks.settimeout(2)
    asks.bind((sys.argv[1], 40001))
    for _ in range(5):
        asks.sendto(b"question", (sys.argv[2], 4000))
    print(asks.recv(100).decode())
"""
    answers = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
    service.bind((sys.argv[1], 4000))
    print("ready", flush=True)
    for _ in range(5):
        question, sender = service.recvfrom(100)
        service.sendto(b"answer", sender)
"""
    with far.popen(sys.executable, "-c", answers, CLIENT, stdout=subprocess.PIPE) as service:
        try:
            assert service.stdout is not None
            assert service.stdout.readline()
            asking = host.popen(sys.executable, "-c", answered, BOX, CLIENT, stdout=subprocess.PIPE)
            assert asking.communicate()[0].strip() == b"answer", "the inside has asked"
        finally:
            service.kill()


@pytest.mark.parametrize("to", [BOX, BOX6])
def test_a_challenge_is_answered_into_the_tunnel(
    box: Box, hosts: tuple[Host, Host], to: str
) -> None:
    rule = {"match": SYN_OF_CLIENTS, "action": "challenge"}
    box.client.call("POST", "/v1/rules", json=rule)
    far = hosts[1]
    assert eventually(lambda: fetched(far, f"[{to}]" if ":" in to else to, 8.0))
    figures = box.client.call("GET", "/v1/status")["challenges"]
    assert figures["right"] >= 1, "the client has reset with the number"
    if to == BOX:
        assert connect(far) < 0.5, "it is remembered"


def test_what_a_tunnel_carries_can_be_captured(box: Box, hosts: tuple[Host, Host]) -> None:
    """The file has an Ethernet header in front of each packet."""
    out = box.directory / "out.pcapng"
    words = ["--verdict", "pass", "--limit", "5", "--every", "1", "-w", str(out)]
    capture = hosts[0].popen(*python("xdpctl", "--socket", str(box.socket), "capture"), *words)
    assert eventually(lambda: fetched(hosts[1], BOX) and capture.poll() is not None)
    data = out.read_bytes()
    assert bytes(12) + b"\x08\x00\x45" in data
