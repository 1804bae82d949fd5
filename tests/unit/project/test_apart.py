# SPDX-License-Identifier: GPL-2.0-or-later
"""The package of an extra has only what the base package lacks."""

from pathlib import Path

import pytest

from tools.apart import apart


def install(folder: Path, name: str, version: str, *files: str) -> None:
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    own = [f"{about.name}/METADATA", f"{about.name}/RECORD", *files]
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in own))


def test_what_both_have_is_removed(tmp_path: Path) -> None:
    base, extra = tmp_path / "base", tmp_path / "extra"
    install(base, "shared", "1", "shared/a.py")
    install(extra, "shared", "1", "shared/a.py", "space/of/b.py")
    install(extra, "own", "2", "own/a.py", "space/c.py")
    assert apart(base, extra) == ["own"]
    left = {str(path.relative_to(extra)) for path in extra.rglob("*") if path.is_file()}
    about = {"own-2.dist-info/METADATA", "own-2.dist-info/RECORD"}
    assert left == {*about, "own/a.py", "space/c.py"}
    assert not (extra / "space/of").exists()
    assert (base / "shared/a.py").exists()


def test_other_versions_of_one_distribution_are_refused(tmp_path: Path) -> None:
    install(tmp_path / "base", "shared", "1")
    install(tmp_path / "extra", "shared", "2")
    with pytest.raises(SystemExit, match="shared is 2, and 1 in"):
        apart(tmp_path / "base", tmp_path / "extra")
