# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane as an unprivileged child of `xdpctl run`."""

import contextlib
import logging
import os
import socket
import subprocess
import time
from pathlib import Path

from xdpctl.base.system.children import as_user, python
from xdpctl.config.settings import Settings
from xdpctl.errors import ConfigError
from xdpctl.processes.children import Child, Popen, identity

_ASK_SECONDS, _SILENT_MAX = 5.0, 6  # interval of health checks; failed ones in a row
_BUSY_MAX = 60  # failed checks in a row of a child that uses the CPU
_WORK_TICKS = 50  # ticks of 10 ms between two checks, by which a child counts as working
_FIRST_ASK_SECONDS = 1.0  # until it has answered once
_START_SECONDS = 90.0  # until its first answer; the same as systemd's default
log = logging.getLogger("xdpctl.run")


class ControlPlaneProcess:
    """The control plane as a child process; restarted when it dies, while the kernel filters on.

    The first child imports what puts rules in force while the filter is loaded, and waits for `go`.
    """

    def __init__(
        self, settings: Settings, config: Path | None, sockets: tuple[socket.socket, ...]
    ) -> None:
        self._settings, self._config, self._sockets = settings, config, sockets
        self._used = 0
        waits, self._go = os.pipe()
        self._waits: int | None = waits
        self._child = Child("control plane", "filtering continues", self._start)

    def _start(self) -> Popen:
        s = self._settings
        fds = [listening.fileno() for listening in self._sockets]
        waits, self._waits = self._waits, None
        command = python("xdpctl_api", "--listen-fd", str(fds[0]), "--parent", str(os.getpid()))
        command += ["--tcp-fd", str(fds[1])] if fds[1:] else []
        command += ["--wait-fd", str(waits)] if waits is not None else []
        command += ["--state-dir", str(s.state_dir.absolute())]
        command += ["--pin-dir", str(s.pin_dir.absolute())]
        command += ["--socket", str(s.listen.socket.absolute()), "--port", str(s.listen.port)]
        command += ["--log", s.log.value]
        command += ["--config", str(self._config.absolute())] if self._config else []
        user, group = identity(s)
        self._ask_at, self._answered = time.monotonic(), False
        self._silent = self._idle = 0
        passed = [*fds, *([] if waits is None else [waits])]
        try:
            return subprocess.Popen(**as_user(command, user, group), pass_fds=passed)  # no shell
        finally:
            if waits is not None:
                os.close(waits)

    def go(self) -> None:
        """Let the first child begin: the filter is loaded, and the loader has reported."""
        self._child.started = self._ask_at = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # it has died, which `keep` notices
            os.write(self._go, b"\n")
        os.close(self._go)

    def keep(self) -> None:
        """Restart the child if it died; ConfigError if it failed at its first start."""
        if self._child.failed_at_once:
            raise ConfigError("the control plane did not start; its error message is above")
        if self._child.keep():
            self._end_if_hung()

    def _end_if_hung(self) -> None:
        """Kill the child after half a minute without an answer to /healthz; `keep` restarts it.

        A child that uses the CPU gets five minutes.
        """
        now = time.monotonic()
        if now < self._ask_at:
            return
        works = self._works()
        if self._answers():
            self._silent = self._idle = 0
            self._answered = True
        elif self._answered or now - self._child.started > _START_SECONDS:
            self._silent += 1
            self._idle = 0 if works else self._idle + 1
        self._ask_at = now + (_ASK_SECONDS if self._answered else _FIRST_ASK_SECONDS)
        if self._silent == _SILENT_MAX and works:
            log.warning("the control plane does not answer, and works: it is under load")
        if self._idle >= _SILENT_MAX or self._silent >= _BUSY_MAX:
            log.error("the control plane hangs and is restarted; filtering continues")
            self._silent = self._idle = 0
            self._child.process.kill()

    def _works(self) -> bool:
        """Whether the child has used the processor since the last check: it may be under load."""
        try:
            fields = Path(f"/proc/{self._child.process.pid}/stat").read_text().rpartition(")")[2]
            used = sum(map(int, fields.split()[11:13]))
        except (OSError, ValueError):
            return False
        before, self._used = self._used, used
        return used - before >= _WORK_TICKS

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self._settings.listen.socket))
                client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                return client.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def stop(self) -> None:
        """Terminate the child; kill it if it has not ended after 10 seconds."""
        self._child.stop()
