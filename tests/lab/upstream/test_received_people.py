# SPDX-License-Identifier: GPL-2.0-or-later
"""People whom a peer's FlowSpec route hits are served, on a box that has just begun."""

from collections.abc import Iterator

import pytest

from tests.lab.upstream.routers import Gobgp, needed
from tests.lab.upstream.stage import Stage, staged
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

PAGES = 20
ROUTE = "match destination 198.51.100.7/32 protocol tcp destination-port =={} then discard"


class Router(Gobgp):
    """A provider that sends routes, and filters nothing itself."""

    def __init__(self, host: Host, address: str, neighbor: str) -> None:
        super().__init__(host, address, neighbor, asn=64496)
        self.made.append(self)

    made: list["Router"] = []  # noqa: RUF012  # the stage makes it


@pytest.fixture
def stage() -> Iterator[Stage]:
    needed()
    with staged(Router, peer='receive = "enforce"') as found:
        found.line.enforcing = False
        yield found


def test_people_whom_a_route_hits_are_let_in_by_its_trial(stage: Stage) -> None:
    router, asked = Router.made.pop(), stage.asked["page"]
    assert eventually(lambda: len(asked) >= PAGES)
    assert stage.lost() == 0
    for port in (80, 5201):
        router.flow(ROUTE.format(port))

    def rules() -> list[str]:
        listed = stage.box.client.call("GET", "/v1/rules")["rules"]
        return [rule["does"] for rule in listed if rule["origin"] == "bgp.isp2"]

    assert eventually(lambda: len(rules()) == 2)
    begun = len(asked)
    assert eventually(lambda: len(asked) >= begun + PAGES)
    assert asked[begun:].count(False) <= 1, "each new connection comes again, and is let in"
