# SPDX-License-Identifier: GPL-2.0-or-later
"""The metadata of the Debian package."""

from pathlib import Path

import pytest

from tests.paths import ROOT
from tools import deb

CHANGES = """# Changelog

## 0.2.0 (unreleased)

### Added
- One thing that is told
  on two lines.
- Another one.

## 0.1.0

### Fixed
- A third one.
"""


def test_the_changelog_has_an_entry_for_each_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    newest, oldest = deb.changelog(CHANGES, "0.2.0+next").split("\n\nxdpctl")
    assert newest.startswith("xdpctl (0.2.0+next) unstable; urgency=medium\n\n  [ Added ]\n")
    assert "\n  * One thing that is told on two lines.\n  * Another one.\n" in newest
    assert newest.endswith(f"\n\n -- {deb.maintainer()}  Thu, 01 Jan 1970 00:00:00 +0000")
    assert oldest.startswith(" (0.1.0) unstable; urgency=medium\n\n  [ Fixed ]\n  * A third one.")


def test_the_debian_changelog_has_every_item_of_ours() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    made = deb.changelog(text, "0.2.0")
    assert made.count("\n  * ") == text.count("\n- ")
    assert max(map(len, made.splitlines())) <= 120


def test_the_copyright_file_names_the_bundled_distributions(tmp_path: Path) -> None:
    about = {
        "a": "License-Expression: MIT",
        "b": "License: BSD-2-Clause",
        "c": "Classifier: License :: OSI Approved :: BSD License",
        "d": "Summary: none",
        "xdpctl": "License-Expression: GPL-2.0-or-later",
    }
    for name, licence in about.items():
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{licence}\n"
        )
    made = deb.copyright_file(tmp_path)
    told = (
        "  a 1: MIT",
        "  b 1: BSD-2-Clause",
        "  c 1: BSD License",
        "  d 1: see its licence file",
    )
    assert "\n".join(told) + "\n\n" in made
    assert made.startswith("Format: https://www.debian.org/")
    assert "xdpctl 1:" not in made
