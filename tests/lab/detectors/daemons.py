# SPDX-License-Identifier: GPL-2.0-or-later
"""Detectors from the distribution's packages, started on a lab host."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import need
from tests.paths import ROOT
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import HANG_SECONDS

PACKAGING = ROOT / "packaging" / "detectors"


def installed(program: str) -> None:
    """Skip the test without this program; fail it where CI requires everything."""
    need(shutil.which(program) is not None, f"{program}: apt-get install it")


@contextmanager
def daemon(
    host: Host, log: Path, *command: str, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a daemon in the host until the block ends; its output goes to `log`."""
    whole = {**os.environ, **(env or {})}
    with log.open("ab") as words:
        process = host.popen(*command, stdout=words, stderr=words, env=whole)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def command_line(box: Box, *words: str) -> tuple[str, ...]:
    """The command line of xdpctl for this box."""
    return (sys.executable, "-m", "xdpctl", "--socket", str(box.socket), *words)


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return path
