# SPDX-License-Identifier: GPL-2.0-or-later
"""The speaker as an unprivileged child of `xdpctl run`."""

import os
import subprocess

from xdpctl.base.system.python_child import python
from xdpctl.service.children import Child, Popen
from xdpctl.service.settings import Settings
from xdpctl.service.speaking.preparing import prepare


class SpeakerProcess:
    """Starts ExaBGP, and again when it dies; what is announced ends with its sessions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child = Child("BGP speaker", "nothing is announced meanwhile", self._start)

    def _start(self) -> Popen:
        user, group = prepare(self._settings)
        folder = str(self._settings.speaker_dir.absolute())
        return subprocess.Popen(  # noqa: S603  # no shell; the path is from the settings
            python("xdpctl.upstream.bgp", folder, str(os.getpid())),
            user=user,
            group=group,
            extra_groups=[],
            cwd="/",
            umask=0o027,
        )

    def keep(self) -> None:
        """Start it again if it died."""
        self._child.keep()

    def stop(self) -> None:
        """End it."""
        self._child.stop()
