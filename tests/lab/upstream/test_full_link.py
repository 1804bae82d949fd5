# SPDX-License-Identifier: GPL-2.0-or-later
"""A flood fills the link: the provider filters it, people are served, and it ends by itself."""

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import need
from tests.lab.upstream.routers import needed
from tests.lab.upstream.scene import Scene, played
from xdpctl.lab.waits import HANG_SECONDS, eventually


@pytest.fixture
def scene() -> Iterator[Scene]:
    needed()
    need(shutil.which("ping") is not None, "ping: apt-get install iputils-ping")
    with played() as found:
        yield found


def test_a_full_link_leads_to_a_route_that_is_withdrawn_by_itself(scene: Scene) -> None:
    scene.configure(ttl="20s")
    scene.box.start()
    assert eventually(scene.up)
    call = scene.box.client.call
    call("POST", "/v1/rules", json={"match": "udp src-port 53", "action": "drop"})
    assert scene.lost() == 0
    with scene.flood(HANG_SECONDS):
        assert eventually(lambda: scene.share() > 0.9)
        assert eventually(lambda: scene.lost() > 0.2), (
            "clients suffer although everything that arrives is dropped"
        )
        assert eventually(scene.proposed)
        proposal = scene.proposed()
        assert proposal is not None
        assert "203.0.113.1 proto udp" in proposal["what"], "there is one source"
        scene.box.cli("upstream", "approve", proposal["id"])
        assert eventually(lambda: scene.line.rules)
        assert eventually(lambda: scene.share() < 0.3)
        assert scene.lost() == 0, "clients are served again"
        # its time is over while the flood goes on: it is withdrawn, missed, and announced anew
        assert eventually(lambda: not scene.line.rules)
        assert eventually(lambda: scene.line.rules)
    assert eventually(lambda: not scene.upstream()["announcements"]), "no command was needed"
    assert eventually(lambda: not scene.line.rules)
    (incident,) = (each["id"] for each in call("GET", "/v1/incidents")["incidents"])
    notes = [note["text"] for note in call("GET", f"/v1/incidents/{incident}")["notes"]]
    for said in ("asked AS 64496", "helped by", "whether it is needed", "filled again"):
        assert any(said in text for text in notes), (said, notes)


def test_a_provider_that_ignores_a_route_is_said_and_a_blackhole_is_proposed(scene: Scene) -> None:
    scene.line.enforcing = False  # its router shows the route, and its line cards do nothing
    scene.box.start()
    assert eventually(scene.up)
    with scene.flood(HANG_SECONDS):
        assert eventually(scene.proposed)
        proposal = scene.proposed()
        assert proposal is not None
        scene.box.cli("upstream", "approve", proposal["id"])

        def effect() -> str:
            listed = scene.upstream()["announcements"]
            return next((str(e["effect"]) for e in listed if e["id"] == proposal["id"]), "")

        assert eventually(lambda: effect() == "did nothing"), effect()
        assert eventually(lambda: scene.proposed("rtbh"))
        assert "nobody reaches" in str(scene.proposed("rtbh"))
