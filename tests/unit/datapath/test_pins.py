# SPDX-License-Identifier: GPL-2.0-or-later
"""Which filter a process of this version fills and reads, by the names of folders and links."""

from pathlib import Path

import pytest

from xdpctl.abi.digest import digest
from xdpctl.datapath.bpf.pins import CURRENT, NEXT, Pins
from xdpctl.errors import SchemaError

OURS, LARGER, THEIRS = f"{digest()}-00000001", f"{digest()}-00000002", "0123456789abcdef-00000001"


def filters(directory: Path, **links: str) -> None:
    for link, name in links.items():
        (directory / name).mkdir(exist_ok=True)
        (directory / link).symlink_to(name)


@pytest.mark.parametrize(
    ("links", "filled"),
    [
        ({}, ""),
        ({CURRENT: OURS}, OURS),
        ({CURRENT: OURS, NEXT: LARGER}, LARGER),
        ({CURRENT: THEIRS, NEXT: OURS}, OURS),
        ({CURRENT: OURS, NEXT: THEIRS}, OURS),
    ],
)
def test_the_control_plane_fills_the_next_filter_of_its_own_version(
    tmp_path: Path, links: dict[str, str], filled: str
) -> None:
    filters(tmp_path, **links)
    assert Pins.to_fill(tmp_path).name == filled


@pytest.mark.parametrize("links", [{CURRENT: THEIRS}, {CURRENT: THEIRS, NEXT: THEIRS}])
def test_a_filter_of_another_version_is_not_touched(tmp_path: Path, links: dict[str, str]) -> None:
    filters(tmp_path, **links)
    with pytest.raises(SchemaError, match="Restart the loader of this version"):
        Pins.to_fill(tmp_path)
    with pytest.raises(SchemaError):
        Pins(tmp_path).check()


def test_other_folders_are_no_filters(tmp_path: Path) -> None:
    filters(tmp_path, **{CURRENT: OURS, NEXT: THEIRS})
    for name in ("loader", "second", "0123456789ABCDEF-00000001"):
        (tmp_path / name).mkdir()
    assert [pins.name for pins in Pins.all(tmp_path)] == sorted([OURS, THEIRS])
    assert Pins.all(tmp_path / "absent") == []


def test_the_paths_of_the_filter_in_force_follow_the_link(tmp_path: Path) -> None:
    filters(tmp_path, **{CURRENT: OURS})
    (tmp_path / LARGER).mkdir()
    pins = Pins(tmp_path)
    (tmp_path / LARGER / "heads").touch()
    assert not pins.map("heads").exists()
    (tmp_path / CURRENT).unlink()
    (tmp_path / CURRENT).symlink_to(LARGER)
    assert pins.map("heads").exists()
    assert pins.name == LARGER
