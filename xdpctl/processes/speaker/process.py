# SPDX-License-Identifier: GPL-2.0-or-later
"""The speaker as an unprivileged child of `xdpctl run`."""

import logging
import os
import subprocess
import time

from xdpctl.base.system.children import as_user, python
from xdpctl.config.settings import Settings
from xdpctl.errors import XdpctlError
from xdpctl.processes.children import Child, Popen
from xdpctl.processes.speaker.files import prepare

_PAUSE_SECONDS = 0.25  # until it is started again: meanwhile a flood fills the link
_AGAIN_SECONDS = 30.0  # after a start that failed because something is missing
log = logging.getLogger("xdpctl.run")


class SpeakerProcess:
    """Starts the speaker, and again when it dies; its sessions and announcements end with it.

    A failed start is logged and tried again: filtering does not depend on the speaker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child: Child | None = None
        self._again_at, self._problem = 0.0, ""
        self.keep()

    def _start(self) -> Popen:
        user, group = prepare(self._settings)
        folder = str(self._settings.speaker_dir.absolute())
        command = python("xdpctl.upstream.bgp", folder, str(os.getpid()))
        return subprocess.Popen(  # no shell; the path is from the settings
            **as_user(command, user, group), umask=0o027
        )

    def keep(self) -> None:
        """Start the speaker, or start it again if it died."""
        if time.monotonic() < self._again_at:
            return
        try:
            if self._child is None:
                self._child = Child(
                    "BGP speaker", "nothing is announced meanwhile", self._start, _PAUSE_SECONDS
                )
            else:
                self._child.keep()
        except (OSError, XdpctlError) as error:
            if str(error) != self._problem:
                log.error("the BGP speaker does not run: %s", error)
            self._problem, self._again_at = str(error), time.monotonic() + _AGAIN_SECONDS
        else:
            self._problem = ""

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
