# SPDX-License-Identifier: GPL-2.0-or-later
"""The units of systemd that `xdpctl fleet` writes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from xdpctl.fleet.authority import units
from xdpctl.fleet.authority.daemon import Daemon
from xdpctl.fleet.authority.layout import Layout


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_of_etcd_is_valid_and_confined(tmp_path: Path) -> None:
    made = tmp_path / units.ETCD
    program = shutil.which("true") or "/bin/true"
    made.write_text(Daemon(Layout(tmp_path, "nobody", "nogroup")).unit(program))
    words = ["systemd-analyze", "verify", "--recursive-errors=no", str(made)]
    found = subprocess.run(words, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert not found.stderr
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(made)]
    found = subprocess.run(words, capture_output=True, text=True)
    assert found.returncode == 0, "its exposure is above 2.0 of 10: " + found.stdout


@pytest.mark.parametrize("often", [False, True])
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_units_of_the_upkeep_are_valid(tmp_path: Path, often: bool) -> None:
    for name, text in units.upkeep(tmp_path, often).items():
        (tmp_path / name).write_text(text)
    for name in (units.UPKEEP, units.TIMER):
        words = ["systemd-analyze", "verify", "--recursive-errors=no", str(tmp_path / name)]
        found = subprocess.run(words, capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        assert not found.stderr
