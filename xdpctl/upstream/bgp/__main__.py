# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.upstream.bgp FOLDER [PARENT]`: runs ExaBGP with the files of that folder.

ExaBGP starts the bridge. Only the bridge ends what has lasted its time, so if it dies or hangs,
ExaBGP is ended, and with its sessions everything that was announced. Whoever started this process
starts it again.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from xdpctl.base.system.die_with_parent import die_with
from xdpctl.upstream.bgp.exabgp import BEAT_SOCKET, ENVIRONMENT, command

_START_SECONDS, _HUNG_SECONDS, _LOOK_SECONDS = 30.0, 10.0, 0.2
_OTHERS_NOT = 0o077


def run(folder: Path) -> str:
    """Run ExaBGP until it or the bridge ends; why that was."""
    path = folder / BEAT_SOCKET
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as beats:
        umask = os.umask(_OTHERS_NOT)
        beats.bind(str(path))
        os.umask(umask)
        beats.settimeout(_LOOK_SECONDS)
        mine = os.getpid()
        speaker = subprocess.Popen(  # noqa: S603  # no shell; the path is from root
            command(folder),
            env={"PATH": "/usr/bin:/bin", **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: die_with(mine),  # there are no threads
        )
        signal.signal(signal.SIGTERM, lambda *_: speaker.terminate())
        try:
            return _watch(speaker, beats)
        finally:
            if speaker.poll() is None:
                speaker.kill()
                speaker.wait()


def _watch(speaker: "subprocess.Popen[bytes]", beats: socket.socket) -> str:
    heard_at, bridge = time.monotonic() + _START_SECONDS - _HUNG_SECONDS, 0
    while speaker.poll() is None:
        try:
            given = beats.recv(16)
            bridge = int(given) if given.isdigit() else bridge
            heard_at = max(heard_at, time.monotonic()) if given.isdigit() else heard_at
        except TimeoutError:
            pass
        if bridge and _dead(bridge):
            return "the bridge died"
        if time.monotonic() > heard_at + _HUNG_SECONDS:
            return "the bridge hangs"
    return f"ExaBGP ended with status {speaker.returncode}"


def _dead(pid: int) -> bool:
    """Whether a process has ended; ExaBGP may not have asked for its status yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def main() -> None:
    """The command line; it ends with the process PARENT."""
    if len(sys.argv) > 2:
        die_with(int(sys.argv[2]))
    sys.exit(f"xdpctl: {run(Path(sys.argv[1]))}; nothing is announced until it has restarted")


if __name__ == "__main__":
    main()
