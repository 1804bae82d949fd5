# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.upstream.bgp FOLDER [PARENT]`: runs the speaker with the files of that folder.

The speaker is ExaBGP, and starts the bridge. Only the bridge withdraws routes when their time is
over. So if the bridge dies or hangs, this process ends the speaker, and with it all sessions and
announcements. Then its parent starts this process again.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from xdpctl.base.system.children import die_with, end_process
from xdpctl.base.system.signal_event import SignalEvent
from xdpctl.upstream.bgp import exabgp
from xdpctl.upstream.bgp.setup import BEAT_SOCKET, BRIDGE

_START_SECONDS, _HUNG_SECONDS, _LOOK_SECONDS, _GOODBYE_SECONDS = 30.0, 10.0, 0.2, 3.0
_OTHERS_NOT = 0o077


def run(folder: Path) -> str:
    """Run the speaker until it or the bridge ends; return why, "" after SIGTERM."""
    path, stopping = folder / BEAT_SOCKET, SignalEvent.of(signal.SIGTERM)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as beats:
        umask = os.umask(_OTHERS_NOT)
        beats.bind(str(path))
        os.umask(umask)
        beats.settimeout(_LOOK_SECONDS)
        mine = os.getpid()
        speaker = subprocess.Popen(  # noqa: S603  # no shell; the path is from root
            exabgp.command(folder),
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: die_with(mine),  # no thread can hold a lock at the fork
        )
        watch = _Watch(speaker, beats)
        try:
            return watch.run(stopping)
        finally:
            watch.end()


class _Watch:
    """Watches the speaker and the bridge."""

    def __init__(self, speaker: "subprocess.Popen[bytes]", beats: socket.socket) -> None:
        self._speaker, self._beats, self._bridge = speaker, beats, 0
        self._heard_at = time.monotonic() + _START_SECONDS - _HUNG_SECONDS

    def run(self, stopping: SignalEvent) -> str:
        """Wait until one of them ends, or until `stopping` is set; return why, "" if it is set."""
        while self._speaker.poll() is None:
            with suppress(TimeoutError):
                beat = self._beats.recv(16)
                if beat.isdigit():
                    self._bridge = int(beat)
                    self._heard_at = max(self._heard_at, time.monotonic())
            if stopping.is_set():
                return ""
            if self._bridge and _dead(self._bridge):
                return "the bridge died"
            if time.monotonic() > self._heard_at + _HUNG_SECONDS:
                return "the bridge hangs"
        return f"the speaker ended with status {self._speaker.returncode}"

    def end(self) -> None:
        """End both: the speaker gets a moment to say goodbye to its peers."""
        end_process(self._speaker, _GOODBYE_SECONDS)
        if self._bridge and not _dead(self._bridge) and _is_bridge(self._bridge):
            os.kill(self._bridge, signal.SIGKILL)  # a hung bridge could wake up beside a new one


def _is_bridge(pid: int) -> bool:
    """Whether a process is the bridge. Its id came over a socket, so it may be false."""
    try:
        return BRIDGE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _dead(pid: int) -> bool:
    """Whether a process has ended, even if the speaker has not read its status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def main() -> None:
    """The command line; it ends with the process PARENT."""
    if len(sys.argv) > 2:
        die_with(int(sys.argv[2]))
    if why := run(Path(sys.argv[1])):
        sys.exit(f"xdpctl: {why}; nothing is announced until it has restarted")


if __name__ == "__main__":
    main()
