# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge between the speaker, which starts it, and the control plane, at a Unix socket.

It writes ExaBGP's commands to standard output, and always reads ExaBGP's messages from standard
input, because ExaBGP waits for that. The routes to announce are also in a file, for a restart.
"""

import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.upstream.bgp.clients import Clients
from xdpctl.upstream.bgp.kept import KeptFile
from xdpctl.upstream.bgp.messages import (
    LINE_MAX,
    Anew,
    Gone,
    Received,
    Report,
    Whole,
    line,
    order,
)
from xdpctl.upstream.bgp.sessions import Sessions
from xdpctl.upstream.bgp.setup import Setup, read
from xdpctl.upstream.bgp.table import SHOW, Table

_BEAT_SECONDS, _ANSWER_SECONDS, _CHECK_SECONDS = 1.0, 10.0, 10.0
_CHUNK = 64 << 10
_STANDARD_INPUT, _STANDARD_OUTPUT = 0, 1


class Bridge:
    """Runs until the speaker closes its standard input."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        own = tuple(parse_prefix(prefix, "own") for prefix in setup.own)
        self._table = Table(setup.peers, own)
        self._sessions = Sessions({peer: limits.kept for peer, limits in setup.peers.items()})
        self._selector = selectors.DefaultSelector()
        self._read, self._unsent, self._asked_at = b"", b"", 0.0
        self._beat_at = self._check_at = 0.0
        self._shown: dict[str, int] | None = None  # routes by peer, while they are being listed
        self._problem = ""
        self._refused: set[str] = set()
        self._file = KeptFile(Path(setup.state))
        self._beats = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._beats.setblocking(False)  # a launcher that hangs must not block the bridge
        self._restore()
        self._clients = Clients(
            Path(setup.socket), setup.users, self._selector, self._greeting, self._order
        )

    def run(self) -> None:
        """Serve the speaker and the clients."""
        os.set_blocking(_STANDARD_INPUT, False)
        os.set_blocking(_STANDARD_OUTPUT, False)
        self._selector.register(_STANDARD_INPUT, selectors.EVENT_READ)
        while True:
            for key, events in self._selector.select(0.2):
                if key.fd == _STANDARD_INPUT:
                    if not self._from_speaker():
                        return
                else:
                    self._clients.serve(key.fd, events)
            self._step(time.monotonic())

    def _step(self, now: float) -> None:
        if self._table.expire(now) or (self._file.problem and now >= self._beat_at):
            self._keep()
            self._beat_at = 0.0
        waits = self._table.asking or self._shown is not None
        if waits and now > self._asked_at + _ANSWER_SECONDS:
            raise SystemExit("xdpctl: the speaker does not answer, and is restarted")
        self._ask(now)
        if now >= self._beat_at:
            self._tell(self._sessions.over())
            self._beat_at = now + _BEAT_SECONDS
            with suppress(OSError):  # nobody listens: in tests, or because the launcher ends
                self._beats.sendto(str(os.getpid()).encode(), self._setup.beats)
            self._clients.tell(line(self._report()))
        self._flush()

    def _report(self) -> Report:
        problem = self._file.problem or self._problem
        return Report(self._sessions.sessions(), self._table.report(), problem)

    def _ask(self, now: float) -> None:
        """Give the speaker the next command; periodically, ask what it announces, to compare."""
        if self._shown is not None:
            return
        if command := self._table.command(now):
            self._asked_at = now
            self._unsent += command.encode("ascii") + b"\n"
        elif not self._table.asking and now >= self._check_at:
            self._check_at, self._asked_at, self._shown = now + _CHECK_SECONDS, now, {}
            self._unsent += SHOW.encode() + b"\n"

    def _answered(self, done: bool) -> None:
        now = time.monotonic()
        if self._shown is None:
            self._table.answered(done, now)
            self._beat_at = 0.0
            return
        shown_counts, self._shown = self._shown, None
        told_counts: dict[str, int] = {}
        for route in self._table.told:
            told_counts[route.peer] = told_counts.get(route.peer, 0) + 1
        if not done:
            self._problem = "the speaker does not say what it announces"
        elif shown_counts != told_counts:
            self._problem = "the speaker announced other routes than ordered; they were sent again"
            self._table.clear = True
            _log(f"{self._problem}: {shown_counts} instead of {told_counts}")
        else:
            self._problem = ""

    def _from_speaker(self) -> bool:
        """Take what the speaker has written; False if it is gone."""
        try:
            data = os.read(_STANDARD_INPUT, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        *lines, self._read = (self._read + data).split(b"\n")
        if len(self._read) > LINE_MAX:
            raise SystemExit("xdpctl: the speaker wrote a line without an end, and is restarted")
        for text in lines:
            self._line(text.strip())
        return True

    def _line(self, text: bytes) -> None:
        if text in (b"done", b"error"):
            self._answered(text == b"done")
        elif text == b"shutdown":
            raise SystemExit(0)
        elif text.startswith(b"{"):
            self._message(text)
        elif self._shown is not None and text:
            peer = text.split(b" ", 1)[0].decode("ascii", "replace")
            self._shown[peer] = self._shown.get(peer, 0) + 1

    def _message(self, text: bytes) -> None:
        try:
            messages = self._sessions.hear(text)
        except (ValueError, RecursionError) as error:
            _log(f"a message of the speaker cannot be read: {error}")
            return
        if messages is None:
            self._beat_at = 0.0
            return
        self._tell(messages)

    def _tell(self, messages: Sequence[Received | Gone]) -> None:
        for message in messages:
            if isinstance(message, Gone):
                self._beat_at = 0.0
            self._clients.tell(line(message))

    def _greeting(self) -> Iterator[bytes]:
        """What a new client gets: the state, and all that was received."""
        yield line(self._report())
        yield line(Anew())
        yield from map(line, self._sessions.received())
        yield line(Whole())

    def _order(self, data: bytes) -> None:
        try:
            wanted = order(data).wanted
        except (ValueError, RecursionError) as error:
            _log(f"an order cannot be read: {error}")
            return
        before = dict(self._table.wanted)
        refused = self._table.order(wanted, time.monotonic())
        for wrong in {*refused.values()} - self._refused:
            _log(f"refused: {wrong}")
        self._refused = {*refused.values()}
        if before.keys() != self._table.wanted.keys() or any(
            abs(before[route] - until) > 1 for route, until in self._table.wanted.items()
        ):
            self._keep()  # before the speaker gets the order

    def _flush(self) -> None:
        if not self._unsent:
            return
        with suppress(BlockingIOError):
            self._unsent = self._unsent[os.write(_STANDARD_OUTPUT, self._unsent) :]

    def _keep(self) -> None:
        before = self._file.problem
        self._file.write(self._table.wanted)
        if self._file.problem not in ("", before):
            _log(self._file.problem)

    def _restore(self) -> None:
        try:
            self._table.restore(self._file.read(), time.monotonic())
        except (OSError, ValueError, RecursionError) as error:
            _log(f"what was announced cannot be read, so it is withdrawn: {error}")


def _log(text: str) -> None:
    print(f"xdpctl: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """The command line: the path of the setup."""
    Bridge(read(Path(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
