# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of modules, root's and those of a fleet, in real folders."""

from pathlib import Path

import pytest

from xdpctl.datapath.loader.module_source import Places, opened


def names(own: Path, fleet: Path) -> list[str]:
    with opened(Places(own, None, fleet)) as files:
        return list(files.names())


def test_the_files_of_root_come_first(tmp_path: Path) -> None:
    own, fleet = tmp_path / "own", tmp_path / "fleet"
    for folder, held in ((own, "yz"), (fleet, "aby")):
        folder.mkdir()
        for name in held:
            (folder / f"{name}.c").touch()
    (fleet / ".c.c.new").touch()
    (fleet / "Upper.c").touch()
    assert names(own, fleet) == ["y", "z", "a", "b"]


def test_what_is_no_folder_has_no_modules_of_a_fleet(tmp_path: Path) -> None:
    own, fleet = tmp_path / "own", tmp_path / "fleet"
    assert names(own, fleet) == []
    fleet.touch()
    assert names(own, fleet) == []
    fleet.unlink()
    fleet.symlink_to(own)
    assert names(own, fleet) == []


def test_a_folder_that_cannot_be_opened_is_not_an_empty_one(tmp_path: Path) -> None:
    """Its modules would be taken out of the filter."""
    with pytest.raises(OSError, match="too long"):
        names(tmp_path / "own", tmp_path / ("x" * 300))
