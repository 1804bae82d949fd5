# SPDX-License-Identifier: GPL-2.0-or-later
"""Cached programs are used only if compiling now would give the same result."""

import os
from pathlib import Path

import pytest

from xdpctl.datapath.loader.compiler import fingerprint, load_cached, store_cached

REQUEST = {"name": "one.c", "programs": ["one"], "defines": {"MOST": 4}}
COMPILED = {"maps": {}, "programs": {"one": ["95", []]}}


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "one.c", tmp_path / "two.h"]
    for path in made:
        path.write_text(f"/* {path.name} */")
    return made


def test_a_cached_program_is_loaded(tmp_path: Path, sources: list[Path]) -> None:
    made_from, path = fingerprint(REQUEST, sources), tmp_path / "kept.json"
    assert load_cached(path, made_from) is None
    store_cached(path, made_from, COMPILED)
    assert load_cached(path, fingerprint(REQUEST, reversed(sources))) == COMPILED
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.with_suffix(".new").exists()


@pytest.mark.parametrize("change", ["request", "source", "name", "more"])
def test_a_cached_program_of_another_source_is_not_used(
    tmp_path: Path, sources: list[Path], change: str
) -> None:
    path = tmp_path / "kept.json"
    store_cached(path, fingerprint(REQUEST, sources), COMPILED)
    request = REQUEST
    if change == "request":
        request = REQUEST | {"defines": {"MOST": 5}}
    elif change == "source":
        sources[1].write_text("/* changed */")
    elif change == "name":
        sources[1] = sources[1].rename(tmp_path / "other.h")
    else:
        sources.append(tmp_path / "three.h")
        sources[-1].write_text("")
    assert load_cached(path, fingerprint(request, sources)) is None


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
