# SPDX-License-Identifier: GPL-2.0-or-later
"""The notes of a release are its section of the changelog."""

import pytest

from tools.notes import notes

CHANGES = """# Changelog

## 0.3.0 (unreleased)

### Added
- The newest.

## 0.2.0

- The middle.

## 0.2
- The oldest.
"""


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.3.0", "### Added\n- The newest.\n"),
        ("0.2.0", "- The middle.\n"),
        ("0.2", "- The oldest.\n"),
    ],
)
def test_the_section_of_a_version(version: str, said: str) -> None:
    assert notes(CHANGES, version) == said


@pytest.mark.parametrize("version", ["0.3", "0.2.1", "0x3.0", ""])
def test_a_version_without_a_section_is_refused(version: str) -> None:
    with pytest.raises(SystemExit, match="has no section"):
        notes(CHANGES, version)
