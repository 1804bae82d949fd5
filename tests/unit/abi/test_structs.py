# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's compiler compares the structs that Python packs with bpf/abi.h, field by field."""

import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import need
from tests.paths import ROOT
from xdpctl.abi import constants, sizes
from xdpctl.abi.arrays import (
    BLOCK,
    CHALLENGE,
    CHALLENGE_COUNTS,
    CONNECTION,
    CONTROL,
    ENTRY6,
    FAMILY,
    GENERATION,
    GLIMPSE,
    HEAD,
    LOOKUP,
    MEMORY,
    MODULE_COUNTS,
    MONITOR_STATISTICS,
    PACE,
    PAYLOAD,
    POLICED_HOST,
    POLICER,
    PORT,
    RATE,
    RECORDED,
    SENDER,
    SENDER_KEY,
    SERVED,
    STRATUM,
    TRIAL,
    TRIED,
)
from xdpctl.abi.constants import Constants, Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.abi.structs import Capture, Hits, Pending, Sample, Slot, Wire, total_hits

OF_CONSTANTS = (
    "front",
    "near",
    "cell",
    "class",
    "payload_size",
    "module_sizes",
    "outgoing",
    "gcra",
    "fragment",
    "told",
    "captured",
    "heads",
    "monitoring",
    "strata",
    "memory_sizes",
    "trials",
    "serving",
    "fleet",
)  # enums whose members are CONSTANTS and Value

STRUCTS: tuple[type[Wire], ...] = (Hits, Sample, Pending, Capture)
DTYPES = {
    "control": CONTROL,
    "entry6": ENTRY6,
    "lookup": LOOKUP,
    "family": FAMILY,
    "generation": GENERATION,
    "payload": PAYLOAD,
    "rate": RATE,
    "recorded": RECORDED,
    "sender": SENDER,
    "sender_key": SENDER_KEY,
    "policed_host": POLICED_HOST,
    "policer": POLICER,
    "glimpse": GLIMPSE,
    "monitor_statistics": MONITOR_STATISTICS,
    "connection": CONNECTION,
    "head": HEAD,
    "pace": PACE,
    "stratum": STRATUM,
    "block": BLOCK,
    "memory": MEMORY,
    "trial": TRIAL,
    "tried": TRIED,
    "served": SERVED,
    "port": PORT,
    "challenge": CHALLENGE,
    "challenge_counts": CHALLENGE_COUNTS,
    "module_counts": MODULE_COUNTS,
}
BY_SIZE = {"near4": 16, "near6": 16, "node": 8, "bucket": 8 * sizes.BUCKET_CELLS}
BY_SIZE |= {"bitmap": 8 * sizes.BITMAP_WORDS, "classes": 8}
BY_SIZE |= {"side_key4": 8, "side_key6": 20, "policers": POLICER.itemsize * sizes.POLICERS}
CONSTANTS = [name for name, value in vars(sizes).items() if name.isupper() and type(value) is int]
ENUMS = {
    constants.Action: "ACTION_",
    constants.Mode: "MODE_",
    constants.Reason: "REASON_",
    constants.Constants: "",
    constants.SlotNumber: "SLOT_",
    constants.Word: "WORD_",
    constants.Value: "VALUE_",
    constants.Field: "FIELD_",
    constants.Stage: "STAGE_",
    constants.Leaving: "LEAVING_",
    constants.Police: "POLICE_",
    constants.Validation: "VALIDATE_",
    constants.OutClass: "OUT_",
    constants.Side: "SIDE_",
    constants.Traffic: "TRAFFIC_",
    constants.Spare: "SPARE_",
    constants.MemoryNumber: "MEMORY_",
    constants.FlowState: "FLOW_",
    constants.Asking: "",
    constants.Filled: "FILLED_",
    constants.Chosen: "CHOSEN_",
    constants.ModuleVerdict: "MODULE_",
}


def layout(kind: type[Wire]) -> Iterator[tuple[str, int, int]]:
    """Each field's name, offset and size, from FORMAT: pads belong to the field before."""
    names = iter([field.name for field in fields(kind)])
    offset, digits = 0, ""
    for letter in kind.FORMAT:
        if letter.isdigit():
            digits += letter
            continue
        size = struct.calcsize(f"={digits}{letter}")
        if letter != "x":
            yield next(names), offset, size
        offset, digits = offset + size, ""
    assert next(names, None) is None


def must(condition: str) -> str:
    return f'_Static_assert({condition}, "{condition}");'


def assertions() -> Iterator[str]:
    for kind in STRUCTS:
        name = f"struct {kind.C_NAME}"
        yield must(f"sizeof({name}) == {kind.size()}")
        for field, offset, size in layout(kind):
            yield must(f"__builtin_offsetof({name}, {field}) == {offset}")
            yield must(f"sizeof((({name} *)0)->{field}) == {size}")
    yield must(f"sizeof(struct {Slot.C_NAME}) == {Slot.SIZE}")
    name = f"struct {Explanation.C_NAME}"
    yield must(f"sizeof({name}) == {Explanation.SIZE}")
    places = {"reason": 0, "slots_met": 1, "slots": 2}
    places |= {"behind_met": 2 + Constants.EXPLANATION_SLOTS_MAX}
    places |= {"behind": 3 + Constants.EXPLANATION_SLOTS_MAX}
    for field, index in places.items():
        yield must(f"__builtin_offsetof({name}, {field}) == {4 * index}")
    for enum, prefix in ENUMS.items():
        for member in enum:
            yield must(f"{prefix}{member.name} == {member.value}")
    yield must(f"REASON_MAX == {len(Reason)}")
    for name, dtype in DTYPES.items():
        yield must(f"sizeof(struct {name}) == {dtype.itemsize}")
        for field, (_, offset, *_) in (dtype.fields or {}).items():
            yield must(f"__builtin_offsetof(struct {name}, {field}) == {offset}")
            yield must(f"sizeof(((struct {name} *)0)->{field}) == {dtype[field].itemsize}")
    for name, size in BY_SIZE.items():
        yield must(f"sizeof(struct {name}) == {size}")
    for constant in CONSTANTS:
        yield must(f"{constant} == {getattr(sizes, constant)}")


def compiled(tmp_path: Path, lines: list[str]) -> "subprocess.CompletedProcess[str]":
    compiler = shutil.which("cc")
    need(compiler is not None, "a C compiler as cc (apt-get install gcc libc6-dev)")
    source = tmp_path / "abi.c"
    source.write_text("\n".join(['#include "abi.h"', *lines, ""]))
    command = [str(compiler), "-fsyntax-only", "-Ibpf", "-Ibpf/headers/include", str(source)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_python_and_c_agree_on_every_offset_size_and_value(tmp_path: Path) -> None:
    said = compiled(tmp_path, list(assertions()))
    assert said.returncode == 0, said.stderr


def test_the_compiler_reports_a_struct_that_differs(tmp_path: Path) -> None:
    wrong = [must("sizeof(struct slot) == 17"), must("ACTION_DROP == 3")]
    said = compiled(tmp_path, wrong)
    assert said.returncode != 0
    assert "sizeof(struct slot) == 17" in said.stderr
    assert "ACTION_DROP == 3" in said.stderr


def test_no_struct_or_enum_is_forgotten() -> None:
    parts = (ROOT / "bpf" / "abi.h", *(ROOT / "bpf" / "abi").iterdir())
    text = "".join(map(Path.read_text, parts)).splitlines()
    structs = {line.split()[1] for line in text if line.startswith("struct ")}
    by_class = {*(kind.C_NAME for kind in STRUCTS), Slot.C_NAME, Explanation.C_NAME}
    assert structs == by_class | {*DTYPES, *BY_SIZE}
    named = {line.split()[1] for line in text if line.startswith("enum ")}
    ours = {re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower() for kind in ENUMS}
    assert named == {*ours, *OF_CONSTANTS} - {"value"}


u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
values = st.one_of(
    st.builds(Hits, u64, u64),
    st.builds(Sample, st.binary(min_size=16, max_size=16), u32, u32),
)


@given(values)
def test_packing_and_unpacking_returns_the_same_value(value: Wire) -> None:
    packed = value.pack()
    assert len(packed) == value.size()
    assert type(value).unpack(packed) == value


@given(
    st.sampled_from(constants.Action),
    st.sampled_from(constants.Mode),
    st.integers(0, 2**60),
    st.sampled_from(constants.Spare),
)
def test_a_slot_is_one_word_whose_time_is_rounded_up(
    action: constants.Action, mode: constants.Mode, expires_ns: int, spare: constants.Spare
) -> None:
    packed = Slot(action, mode, expires_ns, spare).pack()
    assert len(packed) == Slot.SIZE
    back = Slot.unpack(packed)
    assert (back.action, back.mode, back.spare) == (action, mode, spare)
    assert expires_ns <= back.expires_ns < expires_ns + 128
    assert (back.expires_ns == 0) == (expires_ns == 0)


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(struct.error):
        Sample(bytes(16), 2**32, 4).pack()
    with pytest.raises(struct.error):
        Slot.unpack(bytes(15))


def test_an_explanation_shows_only_the_slots_that_were_met() -> None:
    raw = struct.pack("=35I", Reason.DROPPED, 2, 7, 5, *range(14), 1, 9, *range(15))
    assert Explanation.unpack(raw) == Explanation(Reason.DROPPED, (7, 5), (9,))
    full = struct.pack("=35I", Reason.NO_RULE, 30, *range(16), 30, *range(16))
    said = Explanation.unpack(full)
    assert len(said.slots) == len(said.behind) == Constants.EXPLANATION_SLOTS_MAX


def test_hits_are_summed_over_cpus() -> None:
    assert total_hits(Hits(23, 1481).pack() + Hits(0, 0).pack() + Hits(1, 64).pack()) == Hits(
        24, 1545
    )
    assert total_hits(b"") == Hits(0, 0)


def test_the_reasons_that_drop_are_exactly_these() -> None:
    drops = {reason.name for reason in Reason if reason.verdict == "drop"}
    assert drops == {
        *("DROPPED", "MATCHED", "LIMITED", "TRUNCATED", "MALFORMED"),
        *("VLAN_DEPTH", "EXTENSION_DEPTH", "TINY_FRAGMENT", "SPOOFED"),
        *("CHALLENGED", "ANSWERED"),
    }


@pytest.mark.parametrize("word", range(128))
def test_a_slot_with_an_invalid_word_is_read_without_an_error(word: int) -> None:
    """Any process that may open a map can write such a word."""
    if word & constants.Word.ACTION in list(constants.Action):
        spare = Slot.unpack(word.to_bytes(8, sys.byteorder)).spare
        assert (spare is constants.Spare.NONE) == (not word & constants.Word.SPARE)
