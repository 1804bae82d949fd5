# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds and runs other projects' programs for root, with a time limit; reports their errors."""

import shutil
import subprocess
from pathlib import Path

from xdpctl.errors import ConfigError, EngineError

SECONDS = 20.0


def tool(name: str) -> str:
    """The path of a program; ConfigError, with its package, if it is missing."""
    path = shutil.which(name)
    if path is None:
        package = "etcd-server" if name == "etcd" else "etcd-client"
        raise ConfigError(f"{name} is missing: apt-get install {package}")
    return path


def run(*command: str, seconds: float = SECONDS, user: str | None = None) -> str:
    """Run a program as a user; its output. EngineError with its last words if it fails."""
    try:
        result = subprocess.run(  # noqa: S603  # no shell
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    except subprocess.TimeoutExpired as error:
        name = Path(command[0]).name
        raise EngineError(f"{name} did not answer in {seconds:.0f} s") from error
    except OSError as error:
        raise EngineError(f"{command[0]}: {error.strerror}") from error
    if result.returncode:
        lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        raise EngineError(f"{Path(command[0]).name}: {(lines or ['it failed'])[-1][:300]}")
    return result.stdout
