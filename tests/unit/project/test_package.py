# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python package's metadata: version, dependencies, licence."""

import os
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from tests.paths import ROOT
from tools import requirements
from xdpctl import __version__

SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
COMMENTED = (
    "Makefile",
    "*.toml",
    ".ci/*",
    "bpf/**/*.[ch]",
    "packaging/**/*.sh",
    "packaging/**/*.c",
    "packaging/ansible/**/*.yml",
    "packaging/systemd/*",
    "vagrant/*.sh",
    "vagrant/Vagrantfile",
    "xdpctl/**/*.sql",
)


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        held: dict[str, Any] = tomllib.load(file)["project"]
    return held


def test_the_version_is_the_same_everywhere() -> None:
    assert project()["version"] == __version__
    (first, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == __version__


def test_every_requirement_is_locked_with_hashes() -> None:
    extras = project()["optional-dependencies"]
    named = {requirements.name_of(line) for line in requirements.wanted(list(extras))}
    lock = (ROOT / "requirements.lock").read_text()
    pins = [pin for pin in re.findall(r"^\S+==[^ \n]+", lock, re.MULTILINE)]
    entries = list(requirements.locked(pins))
    assert named <= {requirements.name_of(entry) for entry in entries}
    assert len(entries) == len(pins)
    assert all("--hash=sha256:" in entry for entry in entries)


def test_an_unknown_extra_is_refused() -> None:
    with pytest.raises(KeyError, match="nothing"):
        requirements.wanted(["nothing"])


def test_the_licence_text_is_complete() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2, June 1991" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_source_file_names_its_licence() -> None:
    files = [path for pattern in COMMENTED for path in ROOT.glob(pattern) if path.is_file()]
    assert len(files) > 30
    first = {path: path.read_text().splitlines()[:2] for path in files}
    assert [str(path) for path, lines in first.items() if SPDX not in "".join(lines)] == []


@pytest.mark.parametrize(
    ("shell", "asks"),
    [
        ("bash", "complete -o default -F _xdpctl_completion xdpctl"),
        ("zsh", "compdef _xdpctl_completion xdpctl"),
        ("fish", "complete --command xdpctl"),
    ],
)
def test_the_completion_script_is_the_same_however_it_is_made(shell: str, asks: str) -> None:
    """packaging/deb/build.sh makes it with `python -m xdpctl`, and rewrites zsh's last line."""
    environment = {**os.environ, "_XDPCTL_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-m", "xdpctl"]
    said = subprocess.check_output(command, text=True, env=environment, cwd=ROOT)
    assert re.search(rf"^{asks}", said, re.MULTILINE)
