# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of a ring file: torn, foreign, cut off, and where there is no room."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.paths import ROOT
from xdpctl.errors import SeriesError
from xdpctl.series.ring_file import Level, ValueFile, Values

COLUMNS = ("passed", "dropped")
LEVEL = Level(1, 100)


def row(*values: float) -> Values:
    return np.array(values, np.float32)


def filled(path: Path, first: int, last: int) -> ValueFile:
    file = ValueFile(path, COLUMNS, LEVEL)
    for number in range(first, last):
        file.write(number, row(number, 1), row(number, 2))
    return file


def test_the_newest_rows_are_kept(tmp_path: Path) -> None:
    file = filled(tmp_path / "x", 1_000, 1_250)
    averages, maxima = file.read(1_130, 120)
    assert np.isnan(averages[:20]).all(), "these were overwritten"
    assert averages[20:, 0].tolist() == list(range(1_150, 1_250))
    assert maxima[20:, 1].tolist() == [2.0] * 100
    assert np.isnan(file.read(1_250, 10)[0]).all(), "these are to come"
    size = (tmp_path / "x").stat().st_size
    assert size == 4096 + 100 * (16 + 4 * 4)
    assert file.newest(2_000) == 1_249
    assert file.newest(1_200) == 1_199


def test_a_new_process_continues_where_the_last_one_was_killed(tmp_path: Path) -> None:
    filled(tmp_path / "x", 1_000, 1_050)  # and never closed
    again = ValueFile(tmp_path / "x", COLUMNS, LEVEL)
    assert again.read(1_000, 50)[0][:, 0].tolist() == list(range(1_000, 1_050))


def test_a_half_written_row_is_left_out(tmp_path: Path) -> None:
    file = filled(tmp_path / "x", 1_000, 1_010)
    data = bytearray((tmp_path / "x").read_bytes())
    place = 4096 + 32 * (1_005 % 100)
    data[place + 20] ^= 1
    (tmp_path / "x").write_bytes(data)
    averages, _ = file.read(1_000, 10)
    assert np.isnan(averages[:, 0]).tolist() == [number == 5 for number in range(10)]


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = filled(tmp_path / "x", 1_000, 1_050)
    os.truncate(tmp_path / "x", 4096 + 32 * 10)
    averages, _ = file.read(1_000, 50)
    assert np.isnan(averages[:, 0]).sum() == 40
    again = ValueFile(tmp_path / "x", COLUMNS, LEVEL)
    assert np.isnan(again.read(1_000, 50)[0]).all(), "it was replaced"


@pytest.mark.parametrize("content", [b"", b"another format", b'{"format": "xdpctl series 0"}'])
def test_a_foreign_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    file = filled(tmp_path / "x", 5, 6)
    assert file.read(5, 1)[0].tolist() == [[5.0, 1.0]]
    other = ValueFile(tmp_path / "x", ("other",), LEVEL)
    assert np.isnan(other.read(5, 1)[0]).all()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "x").symlink_to(tmp_path / "victim")
    with pytest.raises(SeriesError, match="cannot be made"):
        ValueFile(tmp_path / "x", COLUMNS, LEVEL)
    assert (tmp_path / "victim").read_text() == "precious"


def test_the_recorder_leaves_some_disk_space_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)

    class Full:
        f_bavail, f_frsize = 4, real.f_frsize

    monkeypatch.setattr(os, "statvfs", lambda _: Full)
    with pytest.raises(SeriesError, match="MB are free"):
        ValueFile(tmp_path / "x", COLUMNS, Level(1, 100_000))
    assert not list(tmp_path.iterdir())


def test_the_newest_row_is_complete(tmp_path: Path) -> None:
    file = filled(tmp_path / "x", 90, 100)
    with (tmp_path / "x").open("r+b") as torn:
        torn.seek(-4, os.SEEK_END)
        torn.write(b"torn")
    assert file.newest(1_000) == 98
    file.close()


_WRITER = """
import sys, numpy as np
from pathlib import Path
from xdpctl.series.ring_file import Level
from xdpctl.series.ring_file import ValueFile
columns = [str(n) for n in range(60)]
file = ValueFile(Path(sys.argv[1]), columns, Level(1, 5_000))
number = 1
while True:
    row = np.full(60, number, np.float32)
    file.write(number, row, row)
    number += 1
    if number == 200:
        print("begun", flush=True)
"""


def test_no_row_is_torn_by_kill_9(tmp_path: Path) -> None:
    columns = [str(n) for n in range(60)]
    for _ in range(5):
        command = [sys.executable, "-c", _WRITER, str(tmp_path / "x")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as writer:
            try:
                assert writer.stdout
                assert writer.stdout.readline() == b"begun\n"
            finally:
                writer.kill()
        file = ValueFile(tmp_path / "x", columns, Level(1, 5_000))
        newest = file.newest(10**9)
        assert newest
        averages, _ = file.read(max(1, newest - 4_000), min(newest, 4_000))
        assert not np.isnan(averages).any()
        assert (averages == averages[:, :1]).all(), "a row is of one time"
        file.close()
