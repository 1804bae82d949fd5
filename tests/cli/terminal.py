# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs `xdpctl …` as a person does: on a terminal of some width, or in a pipe."""

import io
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pexpect

from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import HANG_SECONDS

PIPE = 0  # a width: no terminal
_ROWS = 50
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_KEPT = ("PATH", "LD_LIBRARY_PATH", "XDPCTL_REQUIRE_KERNEL")
QUESTION = r"\[y/N\]: "


class Said(NamedTuple):
    """The output of a command, as a person sees it, and its exit code."""

    text: str
    code: int


class Person:
    """Sits at a box. A command is written as in a shell: `xdpctl list -o wide`."""

    def __init__(self, host: Host, socket: Path, directory: Path, **more: str) -> None:
        self._host, self.directory = host, directory
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        home = {"HOME": str(directory), "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        self.environment = kept | home | {"XDPCTL_SOCKET": str(socket)} | more

    def run(self, command: str, width: int = 80, answers: Sequence[str] = ()) -> Said:
        """Run a command to its end, and answer its questions in order."""
        if width == PIPE:
            return self._piped(command)
        with Session(self, self.command(command), width) as session:
            for answer in answers:
                session.see(QUESTION)
                session.write(answer)
            return session.end()

    def _piped(self, command: str) -> Said:
        done = subprocess.run(
            self.command(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            cwd=self.directory,
            timeout=HANG_SECONDS,
        )
        return Said(done.stdout.decode(), done.returncode)

    def command(self, line: str) -> list[str]:
        """The words that run a command line in the box's namespace."""
        program, *words = shlex.split(line)
        inside = ["nsenter", f"--net={self._host.path}"]
        if program != "xdpctl":
            return [*inside, program, *words]
        return [*inside, sys.executable, "-m", "xdpctl", *words]


class Session:
    """A command that runs on a terminal; it is ended with the block."""

    def __init__(self, person: Person, command: list[str], width: int = 80) -> None:
        self._screen = io.StringIO()
        with warnings.catch_warnings():  # the child calls execve at once
            warnings.filterwarnings("ignore", "This process .* is multi-threaded")
            # tests that run in the background ignore Ctrl-C, and their children would, too
            self._child: Any = pexpect.spawn(
                "env",
                ["--default-signal=INT", *command],
                timeout=HANG_SECONDS,
                dimensions=(_ROWS, width),
                env=person.environment,
                cwd=str(person.directory),
                encoding="utf-8",
                use_poll=True,  # select() takes no descriptor over 1023
            )
        self._child.logfile_read = self._screen

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    @property
    def pid(self) -> int:
        return int(self._child.pid)

    def see(self, pattern: str) -> None:
        """Wait until the screen shows this text."""
        self._child.expect(pattern)

    def shows(self, pattern: str, seconds: float) -> bool:
        """Whether the screen shows this text within the time."""
        return bool(self._child.expect([pexpect.TIMEOUT, pattern], timeout=seconds))

    def write(self, line: str) -> None:
        """Type a line."""
        self._child.sendline(line)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._child.sendintr()

    def end(self) -> Said:
        """Wait until the command ends."""
        self._child.expect(pexpect.EOF)
        self._child.close()
        code = self._child.exitstatus
        return Said(shown(self._screen.getvalue()), -1 if code is None else code)


def shown(raw: str) -> str:
    """What a terminal shows: without colours, and with plain ends of lines."""
    return _CONTROL.sub("", raw).replace("\r\n", "\n").replace("^C", "")
