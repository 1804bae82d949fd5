# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector as an unprivileged child of `xdpctl run`."""

import logging
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from xdpctl.base.system.children import as_user, python
from xdpctl.config.settings import Settings
from xdpctl.processes.children import Child, Popen, identity

_NICE = -10  # a flood must not keep the detector from running
_PAUSE = 0.1  # seconds, before it is started again
_HUNG_SECONDS = 15.0  # without a sign of life
_START_SECONDS = 75.0  # more seconds until the first sign
log = logging.getLogger("xdpctl.run")


class DetectorProcess:
    """Starts the detector, and again when it dies or hangs; the rules stay meanwhile."""

    def __init__(self, settings: Settings, config: Path | None) -> None:
        self._settings, self._config = settings, config
        self._alive, self._alive_child = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._heard_at = time.monotonic()
        self._child = Child("detector", "its rules stay in force", self._start, _PAUSE)

    def _start(self) -> Popen:
        s = self._settings
        command = python("xdpctl.processes.detector", "--parent", str(os.getpid()))
        command += ["--alive-fd", str(self._alive_child)]
        command += ["--state-dir", str(s.state_dir.absolute())]
        command += ["--pin-dir", str(s.pin_dir.absolute())]
        command += ["--socket", str(s.listen.socket.absolute()), "--log", s.log.value]
        command += ["--config", str(self._config.absolute())] if self._config else []
        user, group = identity(s)
        self._heard_at = time.monotonic() + _START_SECONDS
        started = subprocess.Popen(  # no shell; the paths are from the settings
            **as_user(command, user, group), pass_fds=(self._alive_child,)
        )
        with suppress(OSError):  # it may have ended already; in a container it is not allowed
            os.setpriority(os.PRIO_PROCESS, started.pid, _NICE)
        return started

    def keep(self) -> None:
        """Restart the detector if it died; end it if it gives no sign of life."""
        now = time.monotonic()
        with suppress(BlockingIOError):
            while os.read(self._alive, 4096):
                self._heard_at = now
        if self._child.keep() and now > self._heard_at + _HUNG_SECONDS:
            log.error("the detector hangs and is restarted; its rules stay in force")
            self._heard_at = now
            self._child.process.kill()

    def stop(self) -> None:
        self._child.stop()
        os.close(self._alive)
        os.close(self._alive_child)
