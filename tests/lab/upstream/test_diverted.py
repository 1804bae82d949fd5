# SPDX-License-Identifier: GPL-2.0-or-later
"""A scrubbing centre draws a prefix: people are served by the way back, and it ends by itself."""

from collections.abc import Iterator

import pytest

from tests.lab.upstream.centre import PREFIX, RETURNS, Centre, centre
from tests.lab.upstream.routers import needed
from tests.lab.upstream.scene import Scene, played
from xdpctl.lab.namespaces import LabError
from xdpctl.lab.waits import HANG_SECONDS, eventually


@pytest.fixture
def scene() -> Iterator[Scene]:
    needed()
    with played() as found:
        found.configure(peer="flowspec = false\nblackhole = []")
        yield found


@pytest.fixture
def scrubber(scene: Scene) -> Iterator[Centre]:
    with centre(scene) as made:
        scene.box.start()
        assert eventually(lambda: scene.up("centre"))
        yield made


def test_a_diversion_serves_people_while_the_flood_goes_on(scene: Scene, scrubber: Centre) -> None:
    assert scene.lost() == 0
    with scene.flood(HANG_SECONDS):
        assert eventually(lambda: scene.lost() > 0.2)
        assert eventually(lambda: scene.proposed("diversion"))
        proposal = scene.proposed("diversion")
        assert proposal is not None
        assert f"everything to {PREFIX} goes through centre and comes back by" in proposal["cost"]
        assert "TCP's MSS" not in proposal["cost"], "the way back takes whole packets"
        assert scene.proposed("rtbh") is None
        scene.box.cli("upstream", "approve", proposal["id"], "--confirm", PREFIX)
        assert eventually(lambda: scrubber.drawn)
        assert eventually(lambda: scene.share() < 0.3)
        assert scene.lost() == 0, "people come by the scrubbing centre"
        scene.box.cli("upstream", "withdraw", proposal["id"])
        assert eventually(lambda: not scrubber.drawn)
        assert eventually(lambda: scene.lost() > 0.2), "the flood goes on"


def test_a_diversion_ends_at_once_when_its_way_back_is_cut(scene: Scene, scrubber: Centre) -> None:
    divert = ("upstream", "announce", "--match", f"dst {PREFIX}", "--to", "centre", "--divert")
    with pytest.raises(LabError, match="which is many addresses"):
        scene.box.cli(*divert)
    scene.box.cli(*divert, "--confirm", PREFIX, "--ttl", "5m")
    assert eventually(lambda: scrubber.drawn)
    assert eventually(lambda: scene.lost() == 0)
    scene.box.host.ip(f"link set {RETURNS} down")
    assert eventually(lambda: not scrubber.drawn), "nobody has withdrawn it by hand"
    assert eventually(lambda: scene.lost() == 0), "people come by the provider again"
    warnings = str(scene.box.client.call("GET", "/v1/status"))
    assert f"{RETURNS} is down, by which centre sends packets back" in warnings
