"""What the package says of itself: version, dependencies, licence."""

import re
import tomllib
from typing import Any

from tests.support.paths import ROOT
from xdpctl import __version__

SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
COMMENTED = (
    "Makefile",
    "*.toml",
    ".ci/*",
    "bpf/**/*.[ch]",
    "packaging/**/*.sh",
    "packaging/systemd/*",
    "vagrant/*.sh",
    "vagrant/Vagrantfile",
    "xdpctl/**/*.sql",
)


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        held: dict[str, Any] = tomllib.load(file)["project"]
    return held


def listed(name: str) -> list[str]:
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_version_is_the_same_everywhere() -> None:
    assert project()["version"] == __version__
    (first, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == __version__


def test_the_wheel_asks_for_what_is_locked() -> None:
    assert project()["dependencies"] == listed("requirements-run.in")


def test_the_licence_is_there_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2, June 1991" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_source_file_names_its_licence() -> None:
    files = [path for pattern in COMMENTED for path in ROOT.glob(pattern) if path.is_file()]
    assert len(files) > 30
    first = {path: path.read_text().splitlines()[:2] for path in files}
    assert [str(path) for path, lines in first.items() if SPDX not in "".join(lines)] == []
