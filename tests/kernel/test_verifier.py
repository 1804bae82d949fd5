# SPDX-License-Identifier: GPL-2.0-or-later
"""The verifier's instruction limit: kernels and compilers differ by half in how much they use."""

import os
import re
import struct
from contextlib import closing
from pathlib import Path

import pytest

from tests.kernel.conftest import filter_for, teacher_for
from tests.paths import ROOT
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader import egress
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.filter_program import MODULE_PROGRAMS
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.module_alone import ModuleAlone
from xdpctl.datapath.loader.module_source import compile_module
from xdpctl.model.capacity import FlowSettings

NAMES = (
    "xdpctl",
    "outside",
    "monitor",
    "observe",
    "answer",
    "quic",
    "signatures",
    "connection",
    *(f"explain{of}" for of in ("", "_outside", "_signatures", "_connection")),
)
_BUDGET = 1_000_000  # BPF_COMPLEXITY_LIMIT_INSNS


def test_the_list_of_measured_programs_is_complete() -> None:
    sources = [ROOT / "bpf" / "xdpctl.c", *(ROOT / "bpf").rglob("*.bpf.h")]
    found = re.findall(r"^int (\w+)\(struct xdp_md", "".join(map(Path.read_text, sources)), re.M)
    assert sorted(found) == sorted((*NAMES, *MODULE_PROGRAMS))


@pytest.mark.parametrize("name", NAMES)
def test_the_filter_leaves_room_for_older_kernels_and_compilers(
    loader: Loader, pins: Pins, name: str
) -> None:
    check_room(loader, pins, name)


def test_the_teaching_program_leaves_room_too(pins: Pins, compiled: Compiled) -> None:
    flows = FlowSettings(flows=1_000)
    teach, roomy = teacher_for(flows), filter_for(flows=flows)
    with closing(Loader(pins, roomy, teach=teach, flows=flows)) as loader:
        teacher = loader.programs.teacher()
        assert teacher is not None
        assert 0 < programs.walked(teacher) < 0.3 * _BUDGET
        (look_up,) = loader.programs._look_ups.values()
        assert 0 < programs.walked(look_up) < 0.6 * _BUDGET
        (teaching,) = loader.programs._teachers.values()
        searches = maps.create_map(egress.SEARCHES, teach.maps[egress.SEARCHES])
        with closing(searches):
            own = {egress.SEARCHES: searches.fd, egress.LEAVING: teaching.array.fd}
            for name in egress.STAGES.values():
                fd = loader.programs.load(teach.programs[name], own)
                walked = programs.walked(fd)
                os.close(fd)
                assert 0 < walked < 0.3 * _BUDGET, name


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("explain")])
def test_a_rehearsals_program_leaves_room_too(
    pins: Pins, compiled_for_rehearsal: Compiled, name: str
) -> None:
    with closing(Loader(pins, compiled_for_rehearsal)) as loader:
        check_room(loader, pins, name)


def test_only_a_rehearsal_has_another_clock(
    compiled: Compiled, compiled_for_rehearsal: Compiled
) -> None:
    """The filter's normal build has neither the clock's map nor an additional instruction."""
    assert compiled_for_rehearsal.maps.keys() - compiled.maps.keys() == {"recorded"}
    coarse_ns = bytes.fromhex("85000000") + struct.pack("<i", 160)
    for name in ("xdpctl", "outside", "signatures"):
        assert coarse_ns in compiled.programs[name].instructions
        assert coarse_ns not in compiled_for_rehearsal.programs[name].instructions


EVERYTHING = """
MODULE decide(struct view *view)
{
	u64 *kept = memory_of(view->source[0]);
	u32 last = 0;

	if (!kept || is_proven(view) || further(view, 100, &last, sizeof(last)))
		return PASS;
	kept[1]++;
	if (is_keyed(view, last, view->payload[view->bytes & 63]))
		proves(view);
	last = keyed(view, 1);
	reply(view, &last, sizeof(last));
	return CHALLENGE;
}
"""


def test_the_programs_of_a_module_leave_room_too() -> None:
    with ModuleAlone(compile_module(EVERYTHING)) as alone:
        assert 0 < alone.instructions < 0.2 * _BUDGET


def test_an_error_has_the_end_of_the_log_even_of_a_long_one() -> None:
    counts = "b702000000000000 0702000001000000 a502feff60ea0000"  # to 60,000: megabytes of log
    reads = "7910e80300000000 9500000000000000"  # beyond the context
    with pytest.raises(OSError, match="invalid bpf_context access off=1000"):
        programs.load("long", bytes.fromhex(counts + reads))


def check_room(loader: Loader, pins: Pins, name: str) -> None:
    loader.add_port("budget")
    counters = maps.open_map(pins.port("budget") / "counters")
    stages = maps.create_map("stages", loader._compiled.maps["stages"])
    port = maps.open_map(pins.port("budget") / "port")
    own = {"counters": counters.fd, "stages": stages.fd, "port": port.fd}
    fd = loader.programs.load(loader._compiled.programs[name], own)
    assert programs.info(fd).name == name[:15]
    # clang 14 needs half as much again as clang 19; so does Linux 6.1, which compares the stack
    # more strictly than 6.18, for what looks at sides
    most = 0.8 if name.endswith("outside") else 0.6
    assert 0 < programs.walked(fd) < most * _BUDGET
