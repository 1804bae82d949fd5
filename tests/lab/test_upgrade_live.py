# SPDX-License-Identifier: GPL-2.0-or-later
"""A box gets other maps under a flood: another version, back again, and another capacity.

Each version is started as it is on a box, on the pins and the store that the other one left.
"""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import numpy as np
import pytest

from tests.lab.conftest import Street
from tests.lab.echo import PORT, Echo, says_back
from tests.lab.questions import block, in_kernel
from tests.support.other_version import DEFECTIVE, OTHER_SHAPES, other_version
from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Filled, Reason
from xdpctl.base.system.children import python
from xdpctl.datapath import emergency_bypass
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import NEXT, Pins
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.errors import Refused, Unreachable
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import LabError
from xdpctl.lab.waits import eventually

HOSTILE = ["203.0.113.7", "203.0.113.200"]
FRIEND = "192.0.2.9"
LEAST = 1_000_000  # packets of the flood


@pytest.fixture
def other(street_box: Box) -> dict[str, str]:
    return other_version(street_box.directory / "other", OTHER_SHAPES)


def restart(box: Box, environment: dict[str, str] | None = None) -> None:
    box.stop()
    box.environment = environment or {}
    box.start()


def name_in_force(box: Box) -> str:
    return Pins(box.pins.directory).name


@contextmanager
def flooded(street: Street) -> Iterator[list[int]]:
    """Flood the box for a block; afterwards the list has the packets sent and those let through."""
    counted: list[int] = []
    with street.sniffer("203.0.113.0/24") as behind:
        with street.flood(HOSTILE) as sent:
            yield counted
        counted += [sent.result().packets, behind.count()]


@pytest.fixture
def blocking(street: Street, street_box: Box) -> Box:
    """A running box that blocks the flood, by a rule on an address and by one on a network."""
    street.attacker.ip(f"addr add {FRIEND}/24 dev far0")
    street_box.start()
    block(street_box.client, HOSTILE[0])
    block(street_box.client, "203.0.113.128/25")
    return street_box


def test_an_upgrade_and_a_downgrade_let_no_packet_through(
    street: Street, blocking: Box, other: dict[str, str]
) -> None:
    """A session of somebody whose network is blocked, except for its connections, goes on."""
    box, echo = blocking, Echo(street.server)
    dialled = street.attacker.call(
        lambda: socket.create_connection(("192.0.2.1", PORT), 5, (FRIEND, 0))
    )
    try:
        assert says_back(dialled)
        block(box.client, f"{FRIEND}/32", spare="established")
        first, seen = name_in_force(box), []
        with flooded(street) as counted:
            for environment in (other, {}):
                restart(box, environment)
                seen.append(name_in_force(box))
                assert says_back(dialled)
            assert eventually(lambda: dropped(box) >= LEAST)
    finally:
        dialled.close()
        echo.close()
    sent, let_through = counted
    assert sent >= LEAST
    assert let_through == 0
    assert seen[0] != first == seen[1]
    assert [pins.name for pins in Pins.all(box.pins.directory)] == [first], "one filter is left"
    hits = {rule["id"]: rule["packets"] for rule in box.client.pages()}
    lost = sent - hits["203.0.113.7_32"] - hits["203.0.113.128_25"]
    assert 0 <= lost < sent / 2, "the hits go on; those during the last second of a filter are lost"


def dropped(box: Box) -> int:
    return PinnedDatapath(box.pins).counters()["isp0"][Reason.DROPPED].packets


def test_a_kill_at_any_step_of_an_upgrade_lets_no_packet_through(
    street: Street, blocking: Box, other: dict[str, str]
) -> None:
    box, first = blocking, name_in_force(blocking)
    following = Pins(box.pins.directory, NEXT)

    def filled() -> bool:
        return following.root.is_symlink() and filled_word(following) == Filled.ALL

    steps = (following.root.is_symlink, filled, lambda: name_in_force(box) != first)
    box.stop()
    box.environment = other
    with flooded(street) as counted:
        for reached in steps:
            with ThreadPoolExecutor(1) as starting:
                started = starting.submit(box.start)
                assert eventually(reached)
                box.kill()
                assert isinstance(started.exception(), LabError)
        box.start()
        assert in_kernel(box).keys() == {"203.0.113.7/32", "203.0.113.128/25"}
    sent, let_through = counted
    assert sent > 0
    assert let_through == 0
    assert name_in_force(box) != first
    assert not following.root.is_symlink()


def test_a_defective_version_does_not_take_over(street: Street, blocking: Box) -> None:
    """The earlier version filters on, says why, and starts again; or the operator decides."""
    box, first = blocking, name_in_force(blocking)
    defective = other_version(box.directory / "defective", DEFECTIVE)
    box.stop()
    with flooded(street) as counted:
        with pytest.raises(LabError, match=r"decides \d+ of \d+ sampled packets differently"):
            restart(box, defective)
        box.kill()
        assert name_in_force(box) == first
        restart(box)
        assert in_kernel(box).keys() == {"203.0.113.7/32", "203.0.113.128/25"}
    assert counted[0] > 0
    assert counted[1] == 0
    box.stop()
    assert upgrade(box, "--accept-differences", environment=defective)[0] == 2, "nothing waits"
    with pytest.raises(LabError):
        restart(box, defective)
    code, said = upgrade(box, environment=defective)
    assert (code, said.splitlines()[0]) == (4, "an earlier filter is in force")
    assert upgrade(box, "--accept-differences", environment=defective)[0] == 4
    box.start()
    assert name_in_force(box) != first
    assert upgrade(box, environment=defective) == (0, "the filter of this version is in force\n")


def upgrade(box: Box, *words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """The exit code and the output of `xdpctl upgrade`."""
    paths = {"--config": box.directory / "xdpctl.toml", "--state-dir": box.directory / "state"}
    paths |= {"--pin-dir": box.pins.directory}
    options = [str(word) for pair in paths.items() for word in pair]
    done = box.host.popen(
        *(sys.executable, "-m", "xdpctl", "upgrade", *words, *options),
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
    )
    return done.wait(), done.communicate()[0].decode()


def capacity_changed(box: Box) -> None:
    """Start with another capacity, which is refused: the filter in force is served."""
    first = name_in_force(box)
    box.settings = "capacity = 3000\n"
    box.start()
    assert name_in_force(box) == first
    code, said = upgrade(box)
    assert (code, said.splitlines()[0]) == (4, "an earlier filter is in force")


def test_a_lost_store_does_not_put_an_empty_filter_in_force(
    street_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules are taken over from the filter in force, as after any start without a store."""
    box = street_box
    box.start()
    block(box.client, "203.0.113.128/25")
    box.stop()
    for path in list((box.directory / "state" / "control").glob("rules.sqlite*")):
        path.unlink()
    monkeypatch.setattr(box, "ready", lambda: answers(box))  # it reports the lost store
    capacity_changed(box)
    assert "the store is empty although a filter is in force" in box.log.read_text()
    assert "203.0.113.128/25" in in_kernel(box)
    first = name_in_force(box)
    restart(box)
    assert name_in_force(box) != first
    assert "203.0.113.128/25" in in_kernel(box)


def test_another_version_refuses_a_lost_store_at_each_start(
    street_box: Box, other: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits of the settings are stored at a start, and must not make a lost store a known one."""
    box = street_box
    box.settings = '[[limits]]\nmatch = "udp dst-port 53"\npps = 1000\n'
    box.start()
    block(box.client, "203.0.113.128/25")
    first = name_in_force(box)
    box.stop()
    for path in list((box.directory / "state" / "control").glob("rules.sqlite*")):
        path.unlink()
    box.environment = other
    for _ in range(2):
        with pytest.raises(LabError, match="the store is empty although a filter is in force"):
            box.start()
        assert name_in_force(box) == first
        box.kill()
    box.environment = {}
    monkeypatch.setattr(box, "ready", lambda: answers(box))  # it reports the lost store
    box.start()
    assert "203.0.113.128/25" in in_kernel(box), "the earlier version recovers it"


def test_filters_that_a_bypass_lets_pass_everything_are_not_compared(street_box: Box) -> None:
    """Else a defective version would seem to decide as the earlier one."""
    box = street_box
    box.start()
    block(box.client, "203.0.113.128/25")
    first = name_in_force(box)
    box.stop()
    box.environment = other_version(box.directory / "defective", DEFECTIVE)
    emergency_bypass.press_all(box.pins.directory, True)
    with pytest.raises(LabError, match="the bypass is on, so the filters cannot be compared"):
        box.start()
    box.kill()
    assert name_in_force(box) == first


def test_a_rule_that_this_version_cannot_read_stays_in_force(
    street_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = street_box
    box.start()
    for source in ("203.0.113.7", "203.0.113.128/25"):
        block(box.client, source)
    box.stop()
    with closing(sqlite3.connect(box.directory / "state" / "control" / "rules.sqlite")) as store:
        changed = store.execute("UPDATE entries SET value = '{}' WHERE key LIKE '%203.0.113.7%'")
        assert changed.rowcount == 1
        store.commit()
    monkeypatch.setattr(box, "ready", lambda: answers(box))  # it reports the damaged record
    capacity_changed(box)
    assert "records of the store cannot be read" in box.log.read_text()
    assert in_kernel(box).keys() == {"203.0.113.7/32", "203.0.113.128/25"}
    first = name_in_force(box)
    assert upgrade(box, "--accept-differences")[0] == 4
    assert eventually(lambda: name_in_force(box) != first), "it follows by itself"
    assert eventually(lambda: answers(box) and in_kernel(box).keys() == {"203.0.113.128/25"})


def answers(box: Box) -> bool:
    try:
        return box.socket.exists() and bool(box.client.call("GET", "/v1/status"))
    except (Unreachable, Refused):
        return False


def test_another_capacity_takes_effect_when_the_loader_starts_again(
    street: Street, street_box: Box
) -> None:
    """As under systemd, which starts the loader and the control plane on their own."""
    box = street_box
    settings = box.directory / "xdpctl.toml"
    paths = {"--config": settings, "--state-dir": box.directory / "state"}
    paths |= {"--pin-dir": box.pins.directory}
    common = [str(word) for pair in paths.items() for word in pair]
    loader = [sys.executable, "-m", "xdpctl", "run", "-i", "isp0", "--loader-only", *common]
    control_plane = python("xdpctl_api", *common, "--socket", str(box.socket), "--port", "0")
    settings.write_text("")
    with ExitStack() as ending, box.log.open("ab") as log:

        def start(command: list[str]) -> "subprocess.Popen[bytes]":
            started = box.host.popen(*command, stdout=log, stderr=log)
            ending.callback(started.wait)
            ending.callback(started.terminate)
            return started

        loading = start(loader)
        assert eventually(lambda: name_in_force(box) != "")
        serving = start(control_plane)
        assert eventually(box.ready)
        first = name_in_force(box)
        block(box.client, HOSTILE[0])
        block(box.client, "203.0.113.128/25")
        with flooded(street) as counted:
            loading.terminate()
            loading.wait()
            settings.write_text("capacity = 3000\n")
            assert "the maps have other sizes or meanings" in upgrade(box, "--check")[1]
            start(loader)
            serving.wait()  # it ends so that its next start fills the other filter
            assert name_in_force(box) == first
            code, said = upgrade(box)
            assert (code, "the maps of this version are not filled yet" in said) == (4, True), said
            start(control_plane)
            assert eventually(lambda: name_in_force(box) != first and box.ready())
            assert in_kernel(box).keys() == {"203.0.113.7/32", "203.0.113.128/25"}
    assert counted[0] > 0
    assert counted[1] == 0, box.log.read_text()


def filled_word(pins: Pins) -> int:
    controls = maps.open_map(pins.map("controls"))
    try:
        return int(np.frombuffer(controls.memory(), CONTROL)[0]["filled"])
    finally:
        controls.close()
