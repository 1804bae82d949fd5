# SPDX-License-Identifier: GPL-2.0-or-later
"""Cached programs are used only if compiling now would give the same result."""

import gzip
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from xdpctl.datapath.loader import compiler
from xdpctl.datapath.loader.compiler import Request, fingerprint, load_cached, store_cached

REQUEST = Request("one.c", ("one",), {"MOST": 4})
COMPILED = {"maps": {}, "programs": {"one": ["95", []]}}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    folder = tmp_path / "bpf"
    folder.mkdir()
    monkeypatch.setattr(compiler, "source_dir", lambda: folder)
    made = [folder / "one.c", folder / "two.h"]
    for path in made:
        path.write_text(f"/* {path.name} */")
    return made


def test_a_cached_program_is_loaded(tmp_path: Path, sources: list[Path]) -> None:
    made_from, path = fingerprint(REQUEST), tmp_path / "kept.json"
    assert load_cached(path, made_from) is None
    store_cached(path, made_from, COMPILED)
    assert load_cached(path, fingerprint(REQUEST)) == COMPILED
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.with_suffix(".new").exists()


@pytest.mark.parametrize("change", ["request", "source", "name", "more"])
def test_a_cached_program_of_another_source_is_not_used(
    tmp_path: Path, sources: list[Path], change: str
) -> None:
    path = tmp_path / "kept.json"
    store_cached(path, fingerprint(REQUEST), COMPILED)
    request = REQUEST
    if change == "request":
        request = replace(REQUEST, defines={"MOST": 5})
    elif change == "source":
        sources[1].write_text("/* changed */")
    elif change == "name":
        sources[1] = sources[1].rename(tmp_path / "bpf" / "other.h")
    else:
        sources.append(tmp_path / "bpf" / "three.h")
        sources[-1].write_text("")
    assert load_cached(path, fingerprint(request)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"made_from": "x"}', "\xff"])
def test_a_damaged_cache_file_is_ignored(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kept.json"
    path.write_text(text, encoding="latin-1")
    assert load_cached(path, "x") is None
    store_cached(path, "x", COMPILED)
    assert load_cached(path, "x") == COMPILED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of others")
@pytest.mark.parametrize("whose", ["mode", "owner", "link"])
def test_a_cache_file_that_others_could_write_is_not_trusted(tmp_path: Path, whose: str) -> None:
    path = tmp_path / "kept.json"
    store_cached(path, "x", COMPILED)
    if whose == "mode":
        path.chmod(0o620)
    elif whose == "owner":
        os.chown(path, 65534, -1)
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    assert load_cached(path, "x") is None
    store_cached(path, "x", COMPILED)
    assert load_cached(path, "x") == COMPILED


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "kept.json"
    store_cached(path, "x", COMPILED)
    assert load_cached(path, "x") is None
    store_cached(Path("/proc/kept.json"), "x", COMPILED)


@pytest.mark.usefixtures("sources")
def test_a_shipped_program_needs_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    monkeypatch.setattr(compiler, "images_dir", lambda: images)
    monkeypatch.setattr(compiler, "compile_now", lambda _: pytest.fail("it was compiled"))
    (images / REQUEST.image()).write_bytes(gzip.compress(json.dumps(COMPILED).encode()))
    shipped = compiler.compile_source(REQUEST)
    assert shipped.programs["one"].instructions == bytes.fromhex("95")
    other = replace(REQUEST, defines={"MOST": 5})
    assert other.image() != REQUEST.image()


def _load(register: int, number: int) -> bytes:
    """A load of a number of 64 bits, with this source register."""
    low, high = number & 0xFFFFFFFF, number >> 32
    return struct.pack("<BBhI", 0x18, register << 4 | 1, 0, low) + struct.pack("<4xI", high)


def test_the_name_of_a_map_becomes_a_reference_to_its_values() -> None:
    name = int.from_bytes(b"controls", "little")
    code = bytearray(_load(0, name) + _load(1, 7) + _load(0, name + 1) + _load(0, 7))
    assert compiler._references(code, {7: "controls"}) == [(0, "controls"), (16, "controls")]
    assert code[:16] == _load(2, name & 0xFFFFFFFF)
    assert code[16:] == _load(1, 7) + _load(0, name + 1) + _load(0, 7)
