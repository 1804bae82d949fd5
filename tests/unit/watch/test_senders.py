# SPDX-License-Identifier: GPL-2.0-or-later
"""Who inside sends to an out set is told, and where such a set does nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.audited import audited
from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.setcalls import change, put, remove, wanted
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.datapath.senders import Sender
from xdpctl.model.effect import Mode
from xdpctl.watch.senders import SenderWatch

OUT0 = {"outside": True, "state": "attached", "teaches": "tcx", "teaches_not": "", "mac": "02:01"}
OUTSIDE = {"out0": OUT0, "in0": {"outside": False}}
BAD = parse_prefix("45.0.0.7")


class Watched:
    """An out set, and the senders that a test sets."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.datapath = FakeClock(), FakeDatapath()
        self.ports: dict[str, Any] = OUTSIDE
        self._running = controller(directory, self.datapath, self.clock)
        self.control = self._running.__enter__()
        self.watch = SenderWatch(self.control, lambda: self.ports)
        self.set = put(self.control, wanted("c2", "45.0.0.0/24", out=True)).set

    def sends(self, address: str, packets: int = 1, mac: str = "02:00:00:00:00:07") -> None:
        sender = parse_prefix(address)
        sent = Sender(self.set.slot, sender, packets, 60, self.clock.ns, BAD, mac)
        others = [other for other in self.datapath.sent if other.address != sender]
        self.datapath.sent = [*others, sent]

    def look(self) -> list[str]:
        self.watch.step()
        return self.watch.warnings()

    def noted(self) -> list[dict[str, Any]]:
        return audited(self.control, "set.sends")

    def close(self) -> None:
        self._running.__exit__(None, None, None)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.close()


def test_a_sender_is_named_with_its_mac_and_noted_once_an_hour(watched: Watched) -> None:
    assert watched.look() == []
    for _ in range(3):
        watched.sends("10.0.0.7")
        assert watched.look() == [
            "10.0.0.7 (MAC 02:00:00:00:00:07) sends to 45.0.0.7, which the set c2 lists and drops "
            "it: look for malware there"
        ]
    assert watched.watch.numbers() == {"c2": 1}
    (record,) = watched.noted()
    detail = record["detail"]
    assert (record["subject"], detail["source"]) == ("c2", "10.0.0.7")
    assert (detail["destination"], detail["mac"]) == ("45.0.0.7", "02:00:00:00:00:07")
    watched.clock.advance(3601)
    assert watched.look() == [], "it has stopped"
    watched.sends("10.0.0.7")
    assert len(watched.look()) == 1
    assert len(watched.noted()) == 2


def test_of_a_set_in_monitor_mode_it_says_that_it_only_counts(watched: Watched) -> None:
    change(watched.control, "c2", mode=Mode.MONITOR)
    watched.sends("10.0.0.7", mac="")
    (said,) = watched.look()
    assert said.startswith("10.0.0.7 sends to 45.0.0.7, which the set c2 lists and only counts it")


def test_forged_senders_fill_neither_the_status_nor_the_history(watched: Watched) -> None:
    for number in range(4000):
        watched.datapath.sent.append(
            Sender(watched.set.slot, Prefix(bytes((10, 1, *divmod(number, 256))), 32), 1, 60,
                   watched.clock.ns, BAD, "")
        )  # fmt: skip
    for _ in range(3):
        said = watched.look()
    assert len(said) == 4
    assert said[-1].startswith("3997 more addresses inside send to listed destinations")
    notes = watched.noted()
    assert len(notes) == 101
    assert "3900 more addresses are not noted" in str(notes)


def test_the_boxs_own_mac_is_not_told(watched: Watched) -> None:
    watched.sends("10.0.0.7", mac="02:01")
    (said,) = watched.look()
    assert said.startswith("10.0.0.7 sends to ")


@pytest.mark.parametrize("ports", [{}, {"out0": {**OUT0, "state": "absent", "teaches": None}}])
def test_without_a_report_and_of_an_absent_interface_nothing_is_said(
    watched: Watched, ports: dict[str, Any]
) -> None:
    watched.ports = ports
    assert watched.look() == []


def test_senders_of_a_removed_set_are_not_told(watched: Watched) -> None:
    watched.sends("10.0.0.7")
    remove(watched.control, "c2")
    assert watched.look() == []


@pytest.mark.parametrize(
    ("ports", "says"),
    [
        ({"in0": {"outside": False}}, "the set c2 does nothing: "),
        ({"out0": {**OUT0, "teaches_not": "no room"}}, "c2 does nothing at out0: no room"),
        (
            {"out0": {**OUT0, "state": "failed", "teaches": None, "detail": "taken"}},
            "c2 does nothing at out0: taken",
        ),
    ],
)
def test_a_set_that_does_nothing_says_so(
    watched: Watched, ports: dict[str, Any], says: str
) -> None:
    watched.ports = ports
    (said,) = watched.look()
    assert says in said
    put(watched.control, wanted("bad", "45.0.0.0/24"))
    assert len(watched.look()) == 1, "another set needs no outside interface"
