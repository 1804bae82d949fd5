# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds and runs other projects' programs for root, with a time limit; reports their errors."""

import shutil
import subprocess
from pathlib import Path

from xdpctl.errors import ConfigError, EngineError

SECONDS = 20.0
_PACKAGES = {"etcd": "etcd-server", "age": "age"}


def tool(name: str) -> str:
    """The path of a program; ConfigError, with its package, if it is missing."""
    path = shutil.which(name)
    if path is None:
        package = _PACKAGES.get(name, "etcd-client")
        raise ConfigError(f"{name} is missing: apt-get install {package}")
    return path


def run(*command: str, seconds: float = SECONDS, user: str | None = None) -> str:
    """Run a program as a user; its output. EngineError with its last words if it fails."""
    return piped(*command, seconds=seconds, user=user).decode(errors="replace")


def piped(
    *command: str, data: bytes = b"", seconds: float = SECONDS, user: str | None = None
) -> bytes:
    """The same with bytes, of which `data` is the input."""
    try:
        result = subprocess.run(  # noqa: S603  # no shell
            command,
            capture_output=True,
            input=data,
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
        said = (result.stderr or result.stdout).decode(errors="replace")
        lines = [line for line in said.splitlines() if line.strip()]
        raise EngineError(f"{Path(command[0]).name}: {(lines or ['it failed'])[-1][:300]}")
    return result.stdout
