# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading lines of a file that is written, rotated and truncated meanwhile."""

from pathlib import Path

import pytest

from xdpctl.detectors.follow.tail import FilePosition, Tail, end_of, keep, recall


def append(path: Path, *lines: bytes, end: bytes = b"\n") -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + end for line in lines))


def test_each_line_is_read_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path, None)
    assert list(tail.lines()) == []
    append(path, b"a", b"b")
    append(path, b"half", end=b"")
    assert list(tail.lines()) == [b"a", b"b"]
    append(path, b" whole")
    assert list(tail.lines()) == [b"half whole"]
    assert tail.place == FilePosition(path.stat().st_ino, path.stat().st_size)
    tail.close()


def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, b"a")
    tail = Tail(path, None)
    assert list(tail.lines()) == [b"a"]
    append(path, b"b")
    path.rename(tmp_path / "log.1")
    assert list(tail.lines()) == [b"b"], "while there is no new one, the old one goes on"
    append(tmp_path / "log.1", b"c")
    append(path, b"d")
    assert list(tail.lines()) == [b"c", b"d"]
    tail.close()


def test_a_truncated_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, b"long", b"longer")
    tail = Tail(path, None)
    assert len(list(tail.lines())) == 2
    path.write_bytes(b"x\n")
    assert list(tail.lines()) == [b"x"]
    tail.close()


def test_the_saved_position_follows_delivered_lines_not_read_ones(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, *(b"%d" % n for n in range(10)))
    tail = Tail(path, None)
    lines = tail.lines()
    assert [next(lines) for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    place = tail.place
    tail.close()
    again = Tail(path, place)
    assert list(again.lines()) == [b"4", b"5", b"6", b"7", b"8", b"9"]
    again.close()


@pytest.mark.parametrize("place", [FilePosition(1, 2), FilePosition(0, 0), None])
def test_a_position_from_another_file_starts_at_its_beginning(
    tmp_path: Path, place: FilePosition | None
) -> None:
    path = tmp_path / "log"
    append(path, b"a")
    tail = Tail(path, place)
    assert list(tail.lines()) == [b"a"]
    tail.close()


def test_a_position_is_saved_completely_or_not_at_all(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    assert recall(state) is None
    keep(state, FilePosition(7, 9))
    assert recall(state) == FilePosition(7, 9)
    for damaged in ("", "{", "[]", '{"inode": "x", "offset": 1}'):
        state.write_text(damaged)
        assert recall(state) is None
    assert end_of(tmp_path / "missing") == FilePosition()


def test_lines_still_written_to_a_rotated_file_are_read(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    append(path, b"a")
    tail = Tail(path, None)
    assert list(tail.lines()) == [b"a"]
    path.rename(old)
    path.touch()  # as logrotate does it before it says so to the writer
    assert list(tail.lines()) == []
    append(old, b"b")
    assert list(tail.lines()) == [b"b"]
    append(old, b"c")
    append(path, b"d")
    assert list(tail.lines()) == [b"c", b"d"]
    tail.close()


def test_the_rest_of_a_rotated_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, b"a")
    place = end_of(path)
    append(path, b"b")
    path.rename(tmp_path / "log.1")
    append(path, b"c")
    tail = Tail(path, place)
    assert list(tail.lines()) == [b"b", b"c"]
    assert tail.place.inode == path.stat().st_ino
    tail.close()


def test_a_line_without_an_end_is_dropped_at_the_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdpctl.detectors.follow.tail._LINE_MAX", 8)
    path = tmp_path / "log"
    tail = Tail(path, None)
    append(path, b"12345678", end=b"")
    assert list(tail.lines()) == []
    append(path, b"")
    assert list(tail.lines()) == [b"12345678"], "as long as the bound is a line"
    append(path, b"123456789", end=b"")
    assert list(tail.lines()) == []
    append(path, b"tail of it", b"next")
    assert list(tail.lines()) == [b"tail of it", b"next"], "what was held is forgotten"
    tail.close()
