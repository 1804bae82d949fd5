# SPDX-License-Identifier: GPL-2.0-or-later
"""A host whose container publishes a port, as Docker does it, and a macvlan on the same card.

The filter is on the outer card, so it decides before netfilter and whatever its chains say.
"""

from collections.abc import Iterator

import pytest

from tests.lab.serving import fetched, running, serving
from tests.lab.test_challenges_live import BOX, CLIENT
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

CONTAINER, GATEWAY, MACVLAN, OTHER = "172.17.0.2", "172.17.0.1", "192.0.2.17", "192.0.2.9"
# what Docker writes for a published port; in DOCKER-USER an operator has allowed the client
PUBLISHED = f"""
table ip nat {{
  chain DOCKER {{
    type nat hook prerouting priority dstnat;
    iifname "isp0" tcp dport 80 ip daddr {BOX} dnat to {CONTAINER}
  }}
}}
table ip filter {{
  chain DOCKER-USER {{
    ip saddr {CLIENT} accept
  }}
  chain FORWARD {{
    type filter hook forward priority filter; policy accept;
    jump DOCKER-USER
  }}
}}
"""


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with Lab("container") as lab:
        host, far, container, other = (lab.host(n) for n in ("box", "far", "inside", "mac"))
        lab.cable(host, "isp0", far, "far0")
        lab.cable(host, "veth0", container, "eth0")
        host.ip(f"addr add {BOX}/24 dev isp0")
        for address in (CLIENT, OTHER):
            far.ip(f"addr add {address}/24 dev far0")
        host.ip("link add docker0 type bridge")
        host.ip("link set veth0 master docker0")
        host.ip("link set docker0 up")
        host.ip(f"addr add {GATEWAY}/16 dev docker0")
        container.ip(f"addr add {CONTAINER}/16 dev eth0")
        container.ip(f"route add default via {GATEWAY}")
        host.ip(f"link add link isp0 name mac0 netns {other.name} type macvlan mode bridge")
        other.ip("link set mac0 up")
        other.ip(f"addr add {MACVLAN}/24 dev mac0")
        host.sysctl("net.ipv4.ip_forward", 1)
        rules = host.popen("nft", "-f", "-", stdin=-1)
        rules.communicate(PUBLISHED.encode())
        assert rules.returncode == 0
        with serving(container, other):
            yield host, far


@pytest.fixture
def box(hosts: tuple[Host, Host]) -> Iterator[Box]:
    box = Box(hosts[0], ["isp0", "docker0"])
    with running(box):
        yield box


@pytest.mark.parametrize("server", [BOX, MACVLAN], ids=["a published port", "a macvlan"])
def test_a_rule_on_the_outer_card_protects_containers(
    box: Box, hosts: tuple[Host, Host], server: str
) -> None:
    far = hosts[1]
    assert eventually(lambda: fetched(far, server))
    for match, tried in (
        (f"src {CLIENT}", True),
        (f"dst {server} tcp dst-port 80", True),
        (f"dst {server} tcp dst-port 81", False),
    ):
        rule = {"match": match, "action": "drop", "force": True}
        rule_id = box.client.call("POST", "/v1/rules", json=rule)["id"]
        assert fetched(far, server, 1.5) is not tried, match
        box.client.call("DELETE", f"/v1/rules/{rule_id}")
        assert fetched(far, server), f"{match} is gone"


def test_what_a_container_sends_is_filtered_on_its_bridge(
    box: Box, hosts: tuple[Host, Host]
) -> None:
    """The rule is on the address that the container has before its packets are translated."""
    far = hosts[1]
    assert eventually(lambda: fetched(far, BOX))
    assert box.client.call("GET", "/v1/status")["interfaces"]["docker0"]["mode"] == "generic"
    rule = {"match": f"src {CONTAINER}", "action": "drop", "force": True}
    rule_id = box.client.call("POST", "/v1/rules", json=rule)["id"]
    assert not fetched(far, BOX, 1.5), "it cannot answer"
    box.client.call("DELETE", f"/v1/rules/{rule_id}")
    assert fetched(far, BOX)
