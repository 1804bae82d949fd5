# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge between ExaBGP, which starts it, and the control plane, at a Unix socket.

It reads ExaBGP's messages at its standard input whatever else happens, since ExaBGP waits for that.
What it was told to announce it keeps in a file, for when it has to begin anew.
"""

import json
import os
import selectors
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from xdpctl.base.clock import Clock
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.upstream.bgp.messages import (
    LINE_MAX,
    Anew,
    Gone,
    Report,
    Route,
    Whole,
    line,
    order,
)
from xdpctl.upstream.bgp.sessions import Sessions
from xdpctl.upstream.bgp.table import Table

_BEAT_SECONDS, _ANSWER_SECONDS, _CHECK_SECONDS = 1.0, 10.0, 10.0
_CLIENTS_MAX, _UNREAD_MAX = 4, 16 << 20  # bytes that a client has not read
_CHUNK = 64 << 10
_STANDARD_INPUT, _STANDARD_OUTPUT = 0, 1
_SHOW = "show adj-rib out"


class Setup(msgspec.Struct, frozen=True):
    """What root has written for it; `peers` has how many routes are kept of each."""

    peers: dict[str, int]
    own: list[str]
    most: int
    socket: str
    state: str
    beats: str
    users: list[int]


class _Kept(msgspec.Struct, frozen=True):
    """A route in the file; `until` is CLOCK_MONOTONIC, which all processes of a boot share."""

    route: Route
    until: float


class _State(msgspec.Struct, frozen=True):
    """The file: what is to be announced, in one boot."""

    boot: str
    kept: list[_Kept]


_state = msgspec.json.Decoder(_State)


class _Client:
    """A connection of the control plane."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.read, self.unsent = connection, b"", b""


class Bridge:
    """Runs until ExaBGP closes its standard input."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        own = tuple(parse_prefix(each, "own") for each in setup.own)
        self._table = Table(frozenset(setup.peers), own, setup.most)
        self._sessions = Sessions(setup.peers)
        self._clients: dict[int, _Client] = {}
        self._selector = selectors.DefaultSelector()
        self._read, self._unsent, self._asked_at = b"", b"", 0.0
        self._beat_at = self._check_at = 0.0
        self._shown: dict[str, int] | None = None  # routes by peer, while they are being listed
        self._problem = ""
        self._refused: set[str] = set()
        self._unwritten = ""  # why the file is not up to date
        self._beats = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._beats.setblocking(False)  # a launcher that hangs must not keep this from its work
        self._boot = Clock().read().boot
        self._restore()
        self._listener = self._listen()

    def run(self) -> None:
        """Serve both sides."""
        os.set_blocking(_STANDARD_INPUT, False)
        os.set_blocking(_STANDARD_OUTPUT, False)
        self._selector.register(_STANDARD_INPUT, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        while True:
            for key, events in self._selector.select(0.2):
                if key.fd == _STANDARD_INPUT:
                    if not self._from_speaker():
                        return
                elif key.fd == self._listener.fileno():
                    self._accept()
                elif client := self._clients.get(key.fd):  # it may have been dropped just now
                    self._serve(client, events)
            self._step(time.monotonic())

    def _step(self, now: float) -> None:
        if self._table.expire(now) or (self._unwritten and now >= self._beat_at):
            self._keep()
            self._beat_at = 0.0
        waits = self._table.asking or self._shown is not None
        if waits and now > self._asked_at + _ANSWER_SECONDS:
            raise SystemExit("xdpctl: ExaBGP does not answer; the bridge begins anew")
        self._ask(now)
        if now >= self._beat_at:
            self._beat_at = now + _BEAT_SECONDS
            with suppress(OSError):  # nobody listens: the tests', or the launcher ends
                self._beats.sendto(str(os.getpid()).encode(), self._setup.beats)
            self._tell(line(self._report()))
        self._flush()

    def _report(self) -> Report:
        problem = self._unwritten or self._problem
        return Report(self._sessions.sessions(), self._table.report(), problem)

    def _ask(self, now: float) -> None:
        """Give ExaBGP the next command, and now and then compare what it announces."""
        if self._shown is not None:
            return
        if command := self._table.command(now):
            self._asked_at = now
            self._unsent += command.encode("ascii") + b"\n"
        elif not self._table.asking and now >= self._check_at:
            self._check_at, self._asked_at, self._shown = now + _CHECK_SECONDS, now, {}
            self._unsent += _SHOW.encode() + b"\n"

    def _answered(self, done: bool) -> None:
        now = time.monotonic()
        if self._shown is None:
            self._table.answered(done, now)
            self._beat_at = 0.0
            return
        shown, self._shown = self._shown, None
        told: dict[str, int] = {}
        for route in self._table.told:
            told[route.peer] = told.get(route.peer, 0) + 1
        if done and shown != told:
            self._problem = "ExaBGP announced something else than it was told; it was told anew"
            self._table.clear = True
            _log(f"{self._problem}: {shown} instead of {told}")
        elif done:
            self._problem = ""

    def _from_speaker(self) -> bool:
        """Take what ExaBGP has written; False if it is gone."""
        try:
            data = os.read(_STANDARD_INPUT, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        *lines, self._read = (self._read + data).split(b"\n")
        if len(self._read) > LINE_MAX:
            raise SystemExit("xdpctl: ExaBGP wrote a line without an end; all begins anew")
        for each in lines:
            self._line(each.strip())
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
            told = self._sessions.hear(text)
        except ValueError as error:
            _log(f"a message of ExaBGP cannot be read: {error}")
            return
        if told is None:
            self._beat_at = 0.0
            return
        for each in told:
            if isinstance(each, Gone):
                self._beat_at = 0.0
            self._tell(line(each))

    def _tell(self, data: bytes) -> None:
        for client in list(self._clients.values()):
            client.unsent += data
            if len(client.unsent) > _UNREAD_MAX:
                self._drop(client)
                continue
            self._send(client)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        user = struct.unpack("3i", given)[1]
        if user not in self._setup.users or len(self._clients) >= _CLIENTS_MAX:
            connection.close()
            return
        connection.setblocking(False)
        client = self._clients[connection.fileno()] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)
        client.unsent = line(self._report())
        client.unsent += line(Anew())
        client.unsent += b"".join(map(line, self._sessions.received()))
        client.unsent += line(Whole())
        self._send(client)

    def _serve(self, client: _Client, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._send(client)
        if not events & selectors.EVENT_READ or client.connection.fileno() < 0:
            return
        try:
            data = client.connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, client.read = (client.read + data).split(b"\n")
        if not data or len(client.read) > LINE_MAX:
            self._drop(client)
            return
        for each in lines:
            self._order(each)

    def _order(self, data: bytes) -> None:
        try:
            wanted = order(data).wanted
        except ValueError as error:
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
            self._keep()  # before ExaBGP hears of it

    def _send(self, client: _Client) -> None:
        if client.connection.fileno() < 0:
            return
        try:
            sent = client.connection.send(client.unsent) if client.unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        client.unsent = client.unsent[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
        self._selector.modify(client.connection, events)

    def _drop(self, client: _Client) -> None:
        if client.connection.fileno() < 0:
            return
        self._selector.unregister(client.connection)
        self._clients.pop(client.connection.fileno(), None)
        client.connection.close()

    def _flush(self) -> None:
        if not self._unsent:
            return
        with suppress(BlockingIOError):
            self._unsent = self._unsent[os.write(_STANDARD_OUTPUT, self._unsent) :]

    def _keep(self) -> None:
        path = Path(self._setup.state)
        kept = [_Kept(route, until) for route, until in self._table.wanted.items()]
        new = path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(_State(self._boot, kept)))
            new.replace(path)
            self._unwritten = ""
        except OSError as error:
            # what was withdrawn must not come back from the file
            with suppress(OSError):
                path.unlink(missing_ok=True)
            problem = f"what is announced cannot be written to {path}: {error}"
            if problem != self._unwritten:
                _log(problem)
            self._unwritten = problem

    def _restore(self) -> None:
        now = time.monotonic()
        try:
            found = _state.decode(Path(self._setup.state).read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            _log(f"what was announced cannot be read, so it is withdrawn: {error}")
            return
        if found.boot == self._boot:
            self._table.restore({each.route: each.until - now for each in found.kept}, now)

    def _listen(self) -> socket.socket:
        path = Path(self._setup.socket)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(4)
        listener.setblocking(False)
        return listener


def _log(text: str) -> None:
    print(f"xdpctl: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """The command line: the path of the setup."""
    setup = msgspec.convert(json.loads(Path(sys.argv[1]).read_text()), Setup)
    Bridge(setup).run()


if __name__ == "__main__":
    main()
