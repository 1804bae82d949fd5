# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader on real interfaces, in a separate namespace for each test."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.packets import to_frame
from xdpctl.abi.constants import Action, Mode, Reason, SlotNumber
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath.bpf import bpffs, maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.image import Image, own_slot
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.interface import refuse_foreign
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.netlink import Link
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import transition
from xdpctl.errors import AttachError, DatapathError, SchemaError
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.lab.namespaces import Host, Lab, LabError
from xdpctl.lab.waits import eventually


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab("loader") as lab:
        yield lab


@pytest.fixture
def wire(lab: Lab) -> Host:
    """A host with `isp0`, whose other end is `far0` on a second host."""
    host, other = lab.host("box"), lab.host("far")
    lab.cable(host, "isp0", other, "far0")
    return host


@pytest.fixture(scope="module")
def generator() -> Iterator[Generator]:
    made = Generator(compile_generator())
    yield made
    made.close()


def link(host: Host, name: str) -> Link:
    return next(found for found in host.call(netlink.links) if found.name == name)


def attached(loader: Loader, host: Host) -> Link:
    loader.add_port("isp0")
    host.call(loader.reconcile)
    assert loader.ports["isp0"].state == "attached", loader.ports["isp0"].detail
    return link(host, "isp0")


def test_the_filter_attaches_natively_and_down_removes_everything(
    loader: Loader, wire: Host
) -> None:
    assert attached(loader, wire).xdp_mode == "native"
    assert wire.call(lambda: take_down(loader.pins)) == ["isp0"]
    assert link(wire, "isp0").program_id is None
    assert not loader.pins.root.exists()


def test_a_driver_without_native_xdp_gets_generic_mode_and_the_reason(
    loader: Loader, wire: Host
) -> None:
    port = loader.add_port("lo")
    wire.call(loader.reconcile)
    assert (port.state, port.mode) == ("attached", "generic")
    assert "no native XDP" in port.detail
    assert link(wire, "lo").xdp_mode == "generic"


def test_traffic_does_not_wait_for_the_explain_program(
    loader: Loader, wire: Host, datapath: PinnedDatapath
) -> None:
    frame = to_frame("192.0.2.7")
    attached(loader, wire)
    with pytest.raises(DatapathError, match="has not loaded the explain program yet"):
        datapath.explain(frame)
    loader.explain.add()
    assert datapath.explain(frame).reason is Reason.NO_RULE


def test_jumbo_frames_attach_natively(loader: Loader, wire: Host) -> None:
    wire.ip("link set isp0 mtu 9000")
    assert attached(loader, wire).xdp_mode == "native"


def test_a_restart_adopts_the_maps_and_swaps_the_program(
    loader: Loader, compiled: Compiled, wire: Host, datapath: PinnedDatapath
) -> None:
    before = attached(loader, wire)
    source = parse_prefix("203.0.113.0/24")
    target = own_slot(Action.DROP, Mode.ENFORCE, 0)
    datapath.apply(transition(Image(datapath.capacity), {source: target}, 1))
    with closing(Loader(loader.pins, compiled)) as again:
        after = attached(again, wire)
        assert after.program_id != before.program_id
    assert datapath.source.slots_of([source]) == [(SlotNumber.FIRST,)]


def test_reconciling_again_changes_nothing(loader: Loader, wire: Host) -> None:
    before = attached(loader, wire)
    wire.call(loader.reconcile)
    assert link(wire, "isp0").program_id == before.program_id


def test_a_foreign_program_is_refused_by_name_and_left_alone(
    loader: Loader, wire: Host, generator: Generator
) -> None:
    wire.call(lambda: netlink.attach(link_here("isp0"), generator.bare_fd, "native"))
    theirs = link(wire, "isp0").program_id
    port = loader.add_port("isp0")
    wire.call(loader.reconcile)
    assert port.state == "failed"
    assert "bare_drop" in port.detail
    assert link(wire, "isp0").program_id == theirs
    assert wire.call(lambda: take_down(loader.pins)) == []


def link_here(name: str) -> Link:
    return next(found for found in netlink.links() if found.name == name)


def test_a_map_that_somebody_replaced_is_not_adopted(loader: Loader, compiled: Compiled) -> None:
    pin = loader.pins.map("slots")
    pin.unlink()
    strange = maps.create_map("slots", replace(compiled.maps["slots"], max_entries=99))
    maps.pin(strange.fd, pin)
    with pytest.raises(SchemaError, match="max_entries=99"):
        Loader(loader.pins, compiled)
    held = maps.open_map(pin)
    assert held.shape == strange.shape
    held.close()
    strange.close()


def test_an_interface_that_comes_later_is_attached_and_counts_go_on(
    loader: Loader, lab: Lab, datapath: PinnedDatapath
) -> None:
    host, other = lab.host("box"), lab.host("far")
    port = loader.add_port("isp0")
    host.call(loader.reconcile)
    assert port.state == "absent"
    changed = threading.Event()
    host.call(lambda: netlink.watch(changed.set))
    lab.cable(host, "isp0", other, "far0")
    assert changed.wait(), "netlink reports the new interface"
    assert eventually(lambda: bool(host.call(loader.reconcile) or port.state == "attached"))
    host.ip("link del isp0")
    host.call(loader.reconcile)
    assert port.state == "absent"
    lab.cable(host, "isp0", other, "far0")
    host.call(loader.reconcile)
    assert port.state == "attached"
    assert set(datapath.counters()) == {"isp0"}


def test_a_renamed_or_downed_interface_stays_filtered(loader: Loader, wire: Host) -> None:
    before = attached(loader, wire)
    wire.ip("link set isp0 down")
    wire.ip("link set isp0 name lan0")
    wire.ip("link set lan0 up")
    wire.call(loader.reconcile)
    port = loader.ports["isp0"]
    assert (port.state, link(wire, "lan0").program_id) == ("attached", before.program_id)
    assert "renamed to lan0" in port.detail
    try:
        wire.ip("link set lan0 name isp0")
    except LabError:  # before Linux 6.2 only what is down takes another name
        wire.ip("link set lan0 down")
        wire.ip("link set lan0 name isp0")
    wire.call(loader.reconcile)
    assert port.state == "attached"
    assert "renamed" not in port.detail


def test_an_interface_that_vanishes_during_an_attach_is_no_error(
    loader: Loader, wire: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    ghost = wire.call(netlink.links)
    wire.ip("link del isp0")
    port = loader.add_port("isp0")
    monkeypatch.setattr(netlink, "links", lambda: ghost)
    wire.call(loader.reconcile)
    assert port.state == "absent"


def test_a_program_that_somebody_detached_is_attached_again(loader: Loader, wire: Host) -> None:
    attached(loader, wire)
    wire.ip("link set dev isp0 xdp off")
    assert link(wire, "isp0").program_id is None
    wire.call(loader.reconcile)
    assert link(wire, "isp0").program_id is not None
    assert loader.ports["isp0"].taken_off == 1
    wire.call(loader.reconcile)
    assert loader.ports["isp0"].taken_off == 1, "it is counted once"


def test_a_program_replaced_by_another_tool_is_counted_once(
    loader: Loader, wire: Host, generator: Generator
) -> None:
    attached(loader, wire)
    wire.ip("link set dev isp0 xdp off")
    wire.call(lambda: netlink.attach(link_here("isp0"), generator.bare_fd, "native"))
    for _ in range(2):
        wire.call(loader.reconcile)
        assert (loader.ports["isp0"].state, loader.ports["isp0"].taken_off) == ("failed", 1)


def test_an_interface_that_is_deleted_and_comes_back_does_not_count_as_taken_off(
    loader: Loader, lab: Lab, wire: Host
) -> None:
    before = attached(loader, wire)
    wire.ip("link del isp0")
    lab.cable(wire, "isp0", lab.host("again"), "far0")
    wire.call(loader.reconcile)
    assert loader.ports["isp0"].state == "attached"
    assert link(wire, "isp0").index != before.index
    assert loader.ports["isp0"].taken_off == 0


def test_a_foreign_program_is_reported_before_anything_is_compiled(
    loader: Loader, wire: Host, generator: Generator
) -> None:
    wire.call(lambda: refuse_foreign(loader.pins, ["isp0"]))
    attached(loader, wire)
    wire.call(lambda: refuse_foreign(loader.pins, ["isp0"]))
    other = Pins(loader.pins.directory / "other")
    with pytest.raises(AttachError, match="another instance of xdpctl") as ours:
        wire.call(lambda: refuse_foreign(other, ["isp0"]))
    assert "xdp off" not in str(ours.value), "the message must not advise to switch off the filter"
    assert wire.call(lambda: take_down(other)) == []
    assert wire.call(lambda: take_down(other, ["isp0"])) == ["isp0"], "its pins were lost"
    wire.call(lambda: netlink.attach(link_here("isp0"), generator.bare_fd, "native"))
    assert wire.call(lambda: take_down(other, ["isp0"])) == [], "another tool's program stays"
    with pytest.raises(AttachError, match="bare_drop"):
        wire.call(lambda: refuse_foreign(loader.pins, ["isp0"]))
    wire.call(lambda: refuse_foreign(loader.pins, ["isp1"]))


def test_only_an_empty_bpffs_that_xdpctl_mounted_is_unmounted(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    bpffs.ensure(ours)
    (ours / "v1").mkdir()
    bpffs.leave(ours)
    assert ours.is_mount(), "something is pinned there"
    (ours / "v1").rmdir()
    bpffs.leave(ours)
    assert not ours.exists()
    theirs.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", str(theirs)], check=True)
    bpffs.leave(theirs)
    assert theirs.is_mount()
    subprocess.run(["umount", str(theirs)], check=True)


def test_two_instances_in_two_namespaces_do_not_meet(
    loader: Loader, compiled: Compiled, wire: Host, lab: Lab, pins: Pins
) -> None:
    attached(loader, wire)
    host, other = lab.host("second"), lab.host("beyond")
    lab.cable(host, "isp0", other, "far0")
    second = Loader(Pins(pins.directory / "second"), compiled)
    attached(second, host)
    assert wire.call(lambda: take_down(loader.pins)) == ["isp0"]
    assert link(host, "isp0").program_id is not None
    assert host.call(lambda: take_down(second.pins)) == ["isp0"]
    second.pins.directory.rmdir()


def test_bpftool_can_read_what_is_pinned(loader: Loader) -> None:
    tool = subprocess.run(
        ["bpftool", "map", "show", "pinned", str(loader.pins.map("cells4"))],
        capture_output=True,
        text=True,
    )
    assert "array" in tool.stdout, tool.stderr


def test_a_pin_directory_outside_any_bpffs_is_refused(compiled: Compiled) -> None:
    with pytest.raises(DatapathError, match="pin_dir /proc/xdpctl is not on a bpffs"):
        Loader(Pins(Path("/proc/xdpctl")), compiled)
