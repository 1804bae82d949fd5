# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.upstream.bgp.gobgp SETUP`: GoBGP, in the place of ExaBGP.

It runs a gobgpd for each peer, and the bridge, which gives it ExaBGP's commands and reads ExaBGP's
messages. It ends with the bridge.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

from xdpctl.errors import RuleError
from xdpctl.upstream.bgp.gobgp.configuration import PATH, PROGRAM, command, files
from xdpctl.upstream.bgp.gobgp.daemon import Daemon, Messages, log
from xdpctl.upstream.bgp.gobgp.routes import path
from xdpctl.upstream.bgp.setup import BRIDGE, read
from xdpctl.upstream.bgp.table import CLEAR, SHOW

_ABOUT = re.compile(r"neighbor (\S+) (announce|withdraw) (.+)")


class Gobgp:
    """The daemons by the addresses of their peers, and the bridge, from `run` to `end`."""

    def __init__(self, setup: Path, program: str) -> None:
        self._setup, self._writing = setup, threading.Lock()
        self._daemons = {
            host: Daemon(
                host,
                command(program, setup.parent, number),
                setup.parent / files(number)[1],
                self._tell,
            )
            for number, host in enumerate(read(setup).peers)
        }
        self._bridge = subprocess.Popen(  # noqa: S603  # no shell; the path is from root
            [sys.executable, "-I", "-m", BRIDGE, str(setup)],
            env={"PATH": PATH},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self) -> None:
        """Do what the bridge says, until it ends."""
        for daemon in self._daemons.values():
            daemon.start()
        assert self._bridge.stdout is not None  # noqa: S101  # it is a pipe
        for line in self._bridge.stdout:
            self._write(self._answer(line.decode("ascii").strip()))

    def end(self) -> None:
        """End all of them."""
        for daemon in self._daemons.values():
            daemon.end()
        self._bridge.terminate()
        for daemon in self._daemons.values():
            daemon.wait()
        self._bridge.wait()
        assert self._bridge.stdin is not None  # noqa: S101  # it is a pipe
        with suppress(OSError):  # what it did not read is lost
            self._bridge.stdin.close()

    def _answer(self, text: str) -> bytes:
        """Do what a command says; the answer as ExaBGP would give it."""
        try:
            if text == CLEAR:
                for daemon in self._daemons.values():
                    daemon.clear()
            elif text == SHOW:
                counted = {host: each.announced() for host, each in self._daemons.items()}
                lines = (f"{host} route\n" * count for host, count in counted.items())
                return f"{''.join(lines)}done\n".encode("ascii")
            else:
                self._about(text)
        except RuleError as error:
            log(str(error))
            return b"error\n"
        return b"done\n"

    def _about(self, text: str) -> None:
        found = _ABOUT.fullmatch(text)
        daemon = self._daemons.get(found[1]) if found else None
        if not found or daemon is None:
            raise RuleError(f"{text[:80]!r} is no command", "command", "")
        act = daemon.announce if found[2] == "announce" else daemon.withdraw
        act(path(found[3]))

    def _tell(self, messages: Messages) -> None:
        """Tell the bridge; if it has ended, so will this process."""
        with suppress(BrokenPipeError):
            self._write("".join(json.dumps(each) + "\n" for each in messages).encode("ascii"))

    def _write(self, data: bytes) -> None:
        assert self._bridge.stdin is not None  # noqa: S101  # it is a pipe
        with self._writing:
            self._bridge.stdin.write(data)
            self._bridge.stdin.flush()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """The command line: the path of the setup."""
    signal.signal(signal.SIGTERM, _stop)
    program = shutil.which(PROGRAM, path=PATH)
    if program is None:
        sys.exit(f"xdpctl: {PROGRAM} is missing: apt-get install {PROGRAM}")
    gobgp = Gobgp(Path(sys.argv[1]), program)
    try:
        gobgp.run()
    except BrokenPipeError:
        log("the bridge does not read any more")
    finally:
        gobgp.end()
    sys.exit("xdpctl: the bridge ended")


if __name__ == "__main__":
    main()
