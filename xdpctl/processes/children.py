# SPDX-License-Identifier: GPL-2.0-or-later
"""Unprivileged children of `xdpctl run`: started, watched, and started again when they die."""

import grp
import logging
import os
import pwd
import subprocess
import time
from collections.abc import Callable

from xdpctl.base.system.children import end_process
from xdpctl.config.settings import Settings
from xdpctl.errors import ConfigError, SettingsError

_BACKOFF_MAX = 30.0
_LONG_LIVED, _AT_ONCE, _GOODBYE_SECONDS = 60.0, 5.0, 10.0  # seconds
log = logging.getLogger("xdpctl.run")
Popen = subprocess.Popen[bytes]


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


class Child:
    """A process that `start` begins; `name` and `meanwhile` are for the log.

    If it dies, it is started again after `pause` seconds; if it soon dies again, after more.
    """

    def __init__(
        self, name: str, meanwhile: str, start: Callable[[], Popen], pause: float = 1.0
    ) -> None:
        self._name, self._meanwhile, self._start = name, meanwhile, start
        self._pause = self._wait = pause
        self._again_at, self._gave_up = 0.0, False
        self.started = time.monotonic()
        try:
            self.process = start()
        except PermissionError as error:
            raise ConfigError(
                f"the {name} has a user of its own, who may not run {error.filename}: put xdpctl "
                "where all users may go, such as /opt"
            ) from error

    @property
    def failed_at_once(self) -> bool:
        """Whether its first process ended on its own within seconds: its settings are wrong."""
        code, lived = self.process.poll(), time.monotonic() - self.started
        return self._again_at == 0 and code is not None and code > 0 and lived < _AT_ONCE

    def keep(self) -> bool:
        """Start it again if it died, with growing pauses; return whether it runs.

        It is not started again after an exit status that says that its settings are wrong.
        """
        code = self.process.poll()
        if code is None or self._gave_up:
            return code is None
        if code == os.EX_CONFIG:
            log.error("the %s does not start with these settings; %s", self._name, self._meanwhile)
            self._gave_up = True
            return False
        lived = time.monotonic() - self.started
        if self._again_at < self.started:
            self._wait = self._pause if lived > _LONG_LIVED else min(self._wait * 2, _BACKOFF_MAX)
            self._again_at = time.monotonic() + self._wait
            log.error(
                "the %s died (exit status %s); %s, restart in %.1f s",
                *(self._name, code, self._meanwhile, self._wait),
            )
        if time.monotonic() >= self._again_at:
            self.started = time.monotonic()
            self.process = self._start()
        return False

    def stop(self) -> None:
        """End the process, and wait for its end."""
        end_process(self.process, _GOODBYE_SECONDS)
