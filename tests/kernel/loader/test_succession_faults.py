# SPDX-License-Identifier: GPL-2.0-or-later
"""What may happen while a filter waits to take the place of another one with other maps."""

import errno
import os
import struct
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as with_fields

from tests.kernel.conftest import CAPACITY, FLOWS, filter_for, parse_rules, teacher_for
from tests.kernel.loader.test_succession import (
    LARGER,
    failing,
    fill,
    filters,
    host,
    link,
    loaders,
    names,
    say_filled,
    start,
    teachers,
    verdict,
)
from xdpctl.abi.arrays import PORT
from xdpctl.abi.constants import Asking, Filled
from xdpctl.datapath import emergency_bypass
from xdpctl.datapath.bpf import maps, programs, syscall
from xdpctl.datapath.bpf.pins import CURRENT, FRESH, NEXT, Pins
from xdpctl.datapath.image import Image
from xdpctl.datapath.loader import netlink, succession
from xdpctl.datapath.loader.interface import refuse_foreign
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.netlink import AttachRefused
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import transition
from xdpctl.errors import DatapathError, SchemaError
from xdpctl.lab.namespaces import Host
from xdpctl.model.capacity import FlowSettings

__all__ = ["host", "loaders"]
_FREEZE = 22  # BPF_MAP_FREEZE
THIRD = CAPACITY._replace(rules=CAPACITY.rules + 2)


def earlier(host: Host, pins: Pins, *, flows: FlowSettings | None = None) -> str:
    """A filter in force whose loader has ended; its name."""
    loader = start(host, pins, flows=flows)
    fill(loader)
    loader.close()
    return loader.pins.name


def swap_one_alone(host: Host, loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Swap the program of in0; the process ends before in1."""
    with monkeypatch.context() as patch:
        patch.setattr(netlink, "attach", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            host.call(loader.reconcile)


def half_swapped(host: Host, pins: Pins, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """The ended loader of a filled filter, which has taken the earlier one's place on in0 alone."""
    loader = start(host, pins, LARGER)
    fill(loader)
    swap_one_alone(host, loader, monkeypatch)
    loader.close()
    return loader


def test_the_earlier_version_may_start_again_after_half_a_swap(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = earlier(host, pins)
    half_swapped(host, pins, monkeypatch)
    host.call(lambda: refuse_foreign(pins, ("in0", "in1")))
    again = loaders.enter_context(closing(start(host, pins)))
    assert filters(host, again)
    assert filters(host, again, "in1")
    assert [left.name for left in Pins.all(pins.directory)] == [name]
    assert names(pins) == {CURRENT: name, NEXT: ""}
    assert (verdict(host, "in0"), verdict(host, "in1")) == (1, 1)


def test_a_third_version_may_start_after_half_a_swap(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(host, pins)
    half_swapped(host, pins, monkeypatch)
    third = loaders.enter_context(closing(start(host, pins, THIRD)))
    assert (verdict(host, "in0"), verdict(host, "in1")) == (1, 1)
    fill(third)
    host.call(third.reconcile)
    assert filters(host, third)
    assert filters(host, third, "in1")
    assert [left.name for left in Pins.all(pins.directory)] == [third.pins.name]


def test_what_filled_an_attempt_that_was_ended_does_not_count(
    host: Host, pins: Pins, loaders: ExitStack
) -> None:
    """The earlier version has got another rule since."""
    first = loaders.enter_context(closing(start(host, pins)))
    fill(first, "drop 198.51.100.0/24")
    second = start(host, pins, LARGER)
    fill(second, "drop 198.51.100.0/24")
    second.close()
    with closing(PinnedDatapath(first.pins)) as datapath:
        datapath.apply(transition(Image(datapath.capacity), parse_rules("drop 192.0.2.0/24"), 1))
    third = loaders.enter_context(closing(start(host, pins, LARGER)))
    assert verdict(host, "in0") == 1
    say_filled(third)
    host.call(third.reconcile)
    assert filters(host, third)


def test_no_teacher_is_left_of_an_attempt_that_was_given_up(host: Host, pins: Pins) -> None:
    earlier(host, pins, flows=FLOWS)
    start(host, pins, flows=with_fields(FLOWS, flows=4 * FLOWS.flows)).close()
    assert len(teachers(host)) == 2
    start(host, pins, flows=FLOWS).close()
    assert len(teachers(host)) == 1
    host.call(lambda: take_down(pins))
    assert teachers(host) == []


def test_a_renamed_interface_stays_filtered(host: Host, pins: Pins, loaders: ExitStack) -> None:
    earlier(host, pins)
    for change in ("down", "name wan1"):
        host.ip(f"link set in1 {change}")
    host.ip("link set wan1 up")
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    fill(second)
    host.call(second.reconcile)
    attached = link(host, "wan1").program_id
    assert attached == programs.info(second.ports["in1"].program_fd).id
    assert "renamed to wan1, still filtered" in second.ports["in1"].detail


def test_no_interface_loses_its_filter_if_another_one_refuses(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(host, pins)
    second = loaders.enter_context(closing(start(host, pins, LARGER, names=("in1",))))
    fill(second)
    refused = failing(AttachRefused("in1", "native", errno.ERANGE))
    monkeypatch.setattr(netlink, "attach", refused)
    host.call(second.reconcile)
    assert (verdict(host, "in0"), verdict(host, "in1")) == (1, 1)


def test_an_interface_that_vanishes_during_the_swap_does_not_stop_it(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(host, pins)
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    fill(second)
    with monkeypatch.context() as patch:
        patch.setattr(netlink, "attach", failing(AttachRefused("in1", "native", errno.ENODEV)))
        host.call(second.reconcile)
    assert filters(host, second)
    host.call(second.reconcile)
    assert filters(host, second, "in1"), "it was there all the time"


def test_an_interface_that_is_no_longer_configured_teaches_no_more(
    host: Host, pins: Pins, loaders: ExitStack
) -> None:
    earlier(host, pins, flows=FLOWS)
    assert teachers(host)
    second = loaders.enter_context(closing(start(host, pins, LARGER, FLOWS, names=("in1",))))
    fill(second)
    host.call(second.reconcile)
    assert link(host, "in0").program_id is None
    assert teachers(host) == []


def test_another_side_takes_effect_with_the_swap_alone(
    host: Host, pins: Pins, loaders: ExitStack
) -> None:
    name = earlier(host, pins, flows=FLOWS)
    made = Loader(pins, filter_for(LARGER, FLOWS), teach=teacher_for(FLOWS), flows=FLOWS)
    second = loaders.enter_context(closing(made))
    second.add_port("in0", outside=False)
    second.add_port("in1", outside=True)
    host.call(second.reconcile)
    port = maps.open_map(Pins(pins.directory, name).port("in0") / "port")
    assert np.frombuffer(port.memory(), PORT)[0]["asks"] == Asking.ASKS
    assert teachers(host)
    port.close()
    fill(second)
    host.call(second.reconcile)
    assert filters(host, second)
    assert teachers(host) == []


def test_an_unknown_word_counts_as_not_filled(host: Host, pins: Pins, loaders: ExitStack) -> None:
    earlier(host, pins)
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    second._maps.control["filled"] = 9
    with closing(PinnedDatapath(second.pins)) as datapath:
        assert datapath.filled is Filled.NOT
    host.call(second.reconcile)
    assert not filters(host, second)


def test_the_bypass_works_while_maps_are_made(
    host: Host, pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = earlier(host, pins)
    (pins.directory / "0000000000000000-00000000").mkdir()
    create = maps.create_map

    def no_room(kind: str, shape: maps.MapShape) -> maps.Map:
        if kind == "controls":
            raise OSError(12, "no memory")
        return create(kind, shape)

    with monkeypatch.context() as patch:
        patch.setattr(maps, "create_map", no_room)
        with pytest.raises(DatapathError, match="no memory"):
            Loader(pins, filter_for(LARGER))
    for on in (True, False):
        emergency_bypass.press_all(pins.directory, on)
        assert emergency_bypass.pressed(Pins(pins.directory, name)) is on


def test_a_bypass_that_is_pressed_during_the_swap_stays(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(host, pins)
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    fill(second)

    def meanwhile(pins: Pins) -> bool:
        before = emergency_bypass.pressed(pins)
        emergency_bypass.press(pins, True)  # of the earlier filter alone
        return before

    monkeypatch.setattr(succession, "pressed", meanwhile)
    host.call(second.reconcile)
    assert filters(host, second)
    assert emergency_bypass.pressed(second.pins)


def freeze(path: Path) -> None:
    pinned = maps.open_map(path)
    try:
        syscall.bpf(_FREEZE, struct.pack("<I", pinned.fd), "freeze")
    finally:
        pinned.close()


def forked(host: Host, pins: Pins) -> Path:
    """An earlier filter of a process that is gone, so nothing maps its maps; its folder."""
    child = os.fork()
    if not child:
        with suppress(BaseException):
            fill(start(host, pins))
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    return pins.directory / Pins(pins.directory).name


def test_no_process_can_freeze_the_filter_in_force_meanwhile(
    host: Host, pins: Pins, loaders: ExitStack
) -> None:
    folder = forked(host, pins)
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    for name in ("controls", "slots", "cells4"):
        with pytest.raises(OSError, match="busy"):
            freeze(folder / name)
    fill(second)
    host.call(second.reconcile)
    assert filters(host, second)


def test_a_frozen_filter_is_reported_with_a_fix(host: Host, pins: Pins) -> None:
    freeze(forked(host, pins) / "controls")
    with pytest.raises(SchemaError, match="xdpctl down"):
        start(host, pins, LARGER)
    with pytest.raises(DatapathError, match="xdpctl down"):
        emergency_bypass.press_all(pins.directory, True)


def test_down_removes_what_a_killed_start_has_left(host: Host, pins: Pins) -> None:
    earlier(host, pins)
    (pins.directory / FRESH).symlink_to("nothing")
    (pins.directory / "0000000000000000-00000000").mkdir()
    host.call(lambda: take_down(pins))
    assert not pins.directory.exists()
