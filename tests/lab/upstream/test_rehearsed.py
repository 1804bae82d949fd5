# SPDX-License-Identifier: GPL-2.0-or-later
"""A provider is rehearsed with a spare address: it enforces a route, or ignores it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import need
from tests.lab.upstream.routers import needed
from tests.lab.upstream.scene import Scene, played
from xdpctl.lab.waits import eventually

SPARE = "198.51.100.250"


@pytest.fixture
def scene() -> Iterator[Scene]:
    needed()
    need(shutil.which("ping") is not None, "ping: apt-get install iputils-ping")
    with played() as found:
        found.box.start()
        assert eventually(found.up)
        yield found


@contextmanager
def probing(scene: Scene) -> Iterator[None]:
    """Somebody outside sends packets to the spare address."""
    words = ("ping", "-q", "-i", "0.05", SPARE)
    scene.world.popen(*words, "-w", "11", stdout=subprocess.DEVNULL).wait()  # seconds
    ping = scene.world.popen(*words, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        ping.terminate()
        ping.wait()


def rehearse(scene: Scene, *more: str) -> str:
    peer = scene.box.cli("upstream", "rehearse", "isp1", "--address", SPARE, *more)
    (rehearsal,) = peer["rehearsals"]
    return str(rehearsal["says"])


@pytest.mark.parametrize(("kind", "more"), [("flowspec", ()), ("rtbh", ("--blackhole",))])
def test_a_provider_that_enforces_is_known_before_it_is_needed(
    scene: Scene, kind: str, more: tuple[str, ...]
) -> None:
    with probing(scene):
        assert rehearse(scene, *more) == f"{kind}: accepted, enforced"
    seen = scene.box.cli("upstream", "rehearse", "isp1", "--seen", "yes", *more)
    assert seen["rehearsals"][0]["says"] == f"{kind}: accepted, enforced, seen there"
    assert scene.box.cli("upstream", "withdraw", "--all")["withdrawn"]
    assert eventually(lambda: not scene.line.rules)


def test_a_provider_that_ignores_it_is_known_as_that(scene: Scene) -> None:
    scene.line.enforcing = False
    with probing(scene):
        assert rehearse(scene) == "flowspec: accepted, ignored"


def test_without_packets_from_outside_nobody_can_tell(scene: Scene) -> None:
    assert rehearse(scene).startswith("flowspec: accepted, cannot be told")
