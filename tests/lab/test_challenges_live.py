# SPDX-License-Identifier: GPL-2.0-or-later
"""Challenges between real hosts: the waits of newcomers, and a card that cannot send."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.lab.serving import running, serving
from xdpctl.base.system.children import python
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

BOX, CLIENT = "192.0.2.1", "192.0.2.2"
MATCH = f"dst {BOX} tcp flags syn&!ack&!rst"


def connect(host: Host, timeout: float = 8.0) -> float:
    """How long a new connection takes, in seconds."""

    def work() -> float:
        began = time.monotonic()
        with socket.create_connection((BOX, 80), timeout):
            return time.monotonic() - began

    return host.call(work)


def doctor(host: Host, interface: str, *options: str) -> str:
    """The output of `xdpctl doctor` about an interface, on one line."""
    said = host.popen(*python("xdpctl", "doctor", "-i", interface, *options), stdout=-1)
    out, _ = said.communicate()
    return " ".join(out.decode().split())


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with Lab("challenge") as lab:
        host, far = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        host.ip(f"addr add {BOX}/24 dev isp0")
        far.ip(f"addr add {CLIENT}/24 dev far0")
        with serving(host):
            yield host, far


@pytest.fixture
def box(hosts: tuple[Host, Host]) -> Iterator[Box]:
    box = Box(hosts[0], ["isp0"])
    with running(box):
        yield box


def test_a_newcomer_waits_for_one_retransmission(
    box: Box, hosts: tuple[Host, Host], generator: Generator
) -> None:
    generator.receive_answers(hosts[1], "far0")
    box.client.call("POST", "/v1/rules", json={"match": MATCH, "action": "challenge"})
    assert connect(hosts[1]) < 5.0
    assert connect(hosts[1]) < 0.5, "he is remembered"


def test_a_card_that_cannot_send_challenges_locks_nobody_out(
    box: Box, hosts: tuple[Host, Host]
) -> None:
    """Without GRO at its peer a veth transmits nothing, like drivers without XDP_TX queues."""
    far = hosts[1]
    far.sh("ethtool", "-K", "far0", "gro", "off")
    box.client.call("POST", "/v1/rules", json={"match": MATCH, "action": "challenge"})
    stop = threading.Event()

    def knock() -> None:
        far.enter()
        while not stop.is_set():
            with socket.socket() as newcomer:
                newcomer.setblocking(False)
                newcomer.connect_ex((BOX, 80))
                time.sleep(0.01)

    newcomers = threading.Thread(target=knock)
    newcomers.start()
    try:
        assert eventually(lambda: {rule["action"] for rule in box.client.pages()} == {"limit"})
    finally:
        stop.set()
        newcomers.join()
    assert connect(far) < 5.0
    warnings = box.client.call("GET", "/v1/status")["warnings"]
    assert any("cannot send challenges" in warning for warning in warnings)
    assert "cannot send challenges" in box.log.read_text()
    metrics = box.client.raw("/metrics").decode()
    assert "\nxdpctl_challenges_replaced 1.0" in metrics
    assert "that XDP sent back did not leave" in doctor(hosts[0], "isp0")


_NAT = """
table ip t {
  chain post {
    type nat hook postrouting priority 100;
    oifname "far0" snat to 192.0.2.9
  }
  chain through {
    type filter hook forward priority 0;
    %s
  }
}
"""


@pytest.mark.parametrize("firewall", ["", "ct state invalid drop"], ids=["plain", "invalid drop"])
def test_a_newcomer_behind_a_nat_waits_no_longer_than_others(
    box: Box, hosts: tuple[Host, Host], generator: Generator, firewall: str
) -> None:
    """The NAT's connection tracking passes the challenge and the client's reset."""
    nat = hosts[1]
    generator.receive_answers(nat, "far0")
    with Lab("behind-nat") as lab:
        client = lab.host("client")
        lab.cable(nat, "in0", client, "eth0")
        nat.ip("addr add 192.0.2.9/24 dev far0")
        nat.ip("addr add 10.0.0.1/24 dev in0")
        nat.sysctl("net.ipv4.ip_forward", 1)
        client.ip("addr add 10.0.0.2/24 dev eth0")
        client.ip("route add default via 10.0.0.1")
        rules = box.directory / "nat.nft"
        rules.write_text(_NAT % firewall)
        nat.sh("nft", "-f", str(rules))
        box.client.call("POST", "/v1/rules", json={"match": MATCH, "action": "challenge"})
        assert connect(client) < 5.0
        assert connect(client) < 0.5, "the address of the NAT is remembered"
