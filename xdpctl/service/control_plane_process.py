# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane as an unprivileged child of `xdpctl run`."""

import grp
import logging
import os
import pwd
import socket
import subprocess
import time
from pathlib import Path

from xdpctl.base.system.python_child import python
from xdpctl.errors import ConfigError, SettingsError
from xdpctl.service.settings import Settings

_BACKOFF_MAX = 30.0
_ASK_SECONDS, _SILENT_MAX = 5.0, 6  # interval of health checks; failed ones in a row
_FIRST_ASK_SECONDS = 1.0  # until it has answered once
_START_SECONDS = 90.0  # until its first answer; the same as systemd's default
log = logging.getLogger("xdpctl.run")


def identity(settings: Settings) -> tuple[int, int]:
    """The unprivileged user and group; ConfigError unless both exist.

    There is no fallback to another user: processes of that user could write to the maps.
    """
    try:
        user = pwd.getpwnam(settings.user)
        group = grp.getgrnam(settings.group)
    except KeyError as error:
        raise ConfigError(
            f"{str(error).strip(chr(34))}; create both with systemd-sysusers, or "
            f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "
            f"{settings.user}"
        ) from None
    if user.pw_uid == 0:
        raise SettingsError(
            "user must not be root: the control plane is reachable over the network"
        )
    return user.pw_uid, group.gr_gid


class ControlPlaneProcess:
    """The control plane as a child process; restarted when it dies, while the kernel filters on."""

    def __init__(
        self, settings: Settings, config: Path | None, sockets: tuple[socket.socket, ...]
    ) -> None:
        self._settings, self._config, self._sockets = settings, config, sockets
        self._wait, self._again_at = 1.0, 0.0
        self._started = time.monotonic()
        self._child = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        s = self._settings
        fds = [listening.fileno() for listening in self._sockets]
        command = python("xdpctl_api", "--listen-fd", str(fds[0]), "--parent", str(os.getpid()))
        command += ["--tcp-fd", str(fds[1])] if fds[1:] else []
        command += ["--state-dir", str(s.state_dir.absolute())]
        command += ["--pin-dir", str(s.pin_dir.absolute())]
        command += ["--socket", str(s.listen.socket.absolute()), "--port", str(s.listen.port)]
        command += ["--log", s.log.value]
        command += ["--config", str(self._config.absolute())] if self._config else []
        user, group = identity(s)
        self._started = time.monotonic()
        self._ask_at, self._silent, self._answered = self._started, 0, False
        return subprocess.Popen(  # noqa: S603  # no shell; the paths are from the settings
            command,
            pass_fds=fds,
            user=user,
            group=group,
            extra_groups=[],
            cwd="/",
        )

    def keep(self) -> None:
        """Restart the child if it died; ConfigError if it failed at its first start."""
        code = self._child.poll()
        if code is None:
            self._end_if_hung()
            return
        lived = time.monotonic() - self._started
        if self._again_at == 0 and lived < 5 and code > 0:
            raise ConfigError("the control plane did not start; its error message is above")
        if self._again_at == 0 or self._again_at < self._started:
            self._wait = 1.0 if lived > 60 else min(self._wait * 2, _BACKOFF_MAX)
            self._again_at = time.monotonic() + self._wait
            log.error(
                "the control plane died (exit status %s); filtering continues, restart in %.0f s",
                code,
                self._wait,
            )
        if time.monotonic() >= self._again_at:
            self._child = self._start()

    def _end_if_hung(self) -> None:
        """Kill the child after half a minute without an answer to /healthz; `keep` restarts it."""
        now = time.monotonic()
        if now < self._ask_at:
            return
        if self._answers():
            self._silent, self._answered = 0, True
        elif self._answered or now - self._started > _START_SECONDS:
            self._silent += 1
        self._ask_at = now + (_ASK_SECONDS if self._answered else _FIRST_ASK_SECONDS)
        if self._silent >= _SILENT_MAX:
            log.error("the control plane hangs and is restarted; filtering continues")
            self._silent = 0
            self._child.kill()

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
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
