# SPDX-License-Identifier: GPL-2.0-or-later
"""A contained command leaves nothing behind, whether it ends or is killed."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.conftest import need
from tests.paths import ROOT
from xdpctl.lab.waits import eventually

_COMMAND = [sys.executable, "-m", "tools.contained"]


def _runs(mark: str) -> bool:
    """Whether a process has the mark in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_text() and int(path.parent.name) != os.getpid():
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def test_the_exit_status_is_that_of_the_command() -> None:
    assert subprocess.run([*_COMMAND, "sh", "-c", "exit 7"], cwd=ROOT).returncode == 7


@pytest.mark.parametrize("killed", [False, True])
def test_no_process_or_namespace_is_left(tmp_path: Path, killed: bool) -> None:
    need(os.geteuid() == 0, "root")
    mark, there = uuid.uuid4().hex[:10], tmp_path / "there"
    then = f"touch {there}; " + ("sleep 1000" if killed else "exit 0")
    text = f"ip netns add {mark}; python3 -c 'import time; time.sleep(1000)' {mark} & {then}"
    run = subprocess.Popen([*_COMMAND, "sh", "-c", text], cwd=ROOT)
    assert eventually(there.exists)
    if killed:
        run.send_signal(signal.SIGTERM)
    assert run.wait() == (137 if killed else 0)
    assert eventually(lambda: not _runs(mark))
    assert not Path("/run/netns", mark).exists()
