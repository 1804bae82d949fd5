# SPDX-License-Identifier: GPL-2.0-or-later
"""What `upgrade --check` says of the store, and of a host without a filter."""

import sqlite3
from pathlib import Path

import pytest

from xdpctl.config.settings import Settings
from xdpctl.control.store.sqlite import SqliteStore, schema_version
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.doctor.host import Finding
from xdpctl.doctor.upgrade import foreseen

NOTHING = Compiled({}, {})


def of_store(tmp_path: Path, version: int | None) -> list[Finding]:
    settings = Settings(state_dir=tmp_path, pin_dir=tmp_path / "bpf")
    settings.database.parent.mkdir()
    if version is not None:
        SqliteStore(settings.database).close()
        with sqlite3.connect(settings.database) as database:
            database.execute(f"PRAGMA user_version = {version}")
        database.close()
    first, *others = foreseen(settings, NOTHING)
    assert (first.level, first.text) == (
        "ok",
        "none is in force now: the next start is a first start",
    )
    return others


@pytest.mark.parametrize(
    ("change", "level", "text"),
    [
        (0, "ok", "stays as it is"),
        (-1, "warning", "which an earlier version cannot read"),
        (1, "problem", "of a newer version"),
    ],
)
def test_a_store_of_another_version_is_told(
    tmp_path: Path, change: int, level: str, text: str
) -> None:
    (finding,) = of_store(tmp_path, schema_version() + change)
    assert finding.level == level
    assert text in finding.text
    assert bool(finding.fix) == (level != "ok")


def test_without_a_store_nothing_is_said_of_it(tmp_path: Path) -> None:
    assert of_store(tmp_path, None) == []


def test_a_damaged_store_is_a_problem(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, pin_dir=tmp_path / "bpf")
    settings.database.parent.mkdir()
    settings.database.write_bytes(b"no database" * 100)
    _, finding = foreseen(settings, NOTHING)
    assert finding.level == "problem"
    assert "cannot be read" in finding.text
