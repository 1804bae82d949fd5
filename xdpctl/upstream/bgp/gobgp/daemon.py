# SPDX-License-Identifier: GPL-2.0-or-later
"""The gobgpd of one peer, which is started again whenever it ends or hangs.

A peer can crash its own gobgpd, or let it run out of memory; that ends the session with this peer
alone.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from xdpctl.base.system.ending import end_process
from xdpctl.errors import RuleError
from xdpctl.model.event import plain
from xdpctl.upstream.bgp.gobgp.client import Client, NoAnswerError
from xdpctl.upstream.bgp.gobgp.hearing import Heard, over_limit, reason

_PAUSE_SECONDS, _PAUSE_MOST, _LONG_LIVED = 0.25, 30.0, 60.0
_GOODBYE_SECONDS = 2.0
_FORGIVE_SECONDS = 60.0  # until a peer that sent too many routes may connect again
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "GOMEMLIMIT": "256MiB"}
_SEVERE = ("error", "fatal", "panic")
_SAID_MOST = 5  # lines of each run: a crash writes hundreds
_END_OF_INIT = 2  # a type of events about a peer, which is about none
Messages = Iterable[dict[str, Any]]


def log(text: str) -> None:
    """Write to the log of the unit, or of `xdpctl run`."""
    print(f"xdpctl: {text}", file=sys.stderr, flush=True)


class Daemon:
    """Runs from `start` to `end`; `tell` is called with what is heard of the peer.

    What is announced is kept here for the time in which no gobgpd runs.
    """

    def __init__(
        self, host: str, command: Sequence[str], socket: Path, tell: Callable[[Messages], None]
    ) -> None:
        self.host, self._command, self._socket = host, command, socket
        self._heard, self._tell, self._hearing = Heard(host), tell, threading.Lock()
        self._lock, self._ending = threading.RLock(), threading.Event()
        self._given: dict[bytes, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None  # while it answers
        self._thread = threading.Thread(target=self._run, name=f"gobgpd {host}", daemon=True)

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def end(self) -> None:
        """End it: it gets a moment to say goodbye to its peer."""
        with self._lock:
            self._ending.set()
            if self._process is not None:
                self._process.terminate()

    def wait(self) -> None:
        """Wait for its end."""
        self._thread.join(2 * _GOODBYE_SECONDS)

    def announce(self, path: Any) -> None:
        """Announce a path. RuleError if it is refused."""
        with self._lock:
            self._given[_key(path)] = path
            try:
                self._ask(lambda client: client.announce(path))
            except RuleError:
                del self._given[_key(path)]
                raise

    def withdraw(self, path: Any) -> None:
        """Withdraw a path. RuleError if that is refused."""
        with self._lock:
            self._given.pop(_key(path), None)
            self._ask(lambda client: client.withdraw(path))

    def clear(self) -> None:
        """Withdraw all. RuleError if that is refused."""
        with self._lock:
            self._given.clear()
            self._ask(Client.clear)

    def announced(self) -> int:
        """How many routes are announced, or will be when it runs again."""
        with self._lock:
            found = self._ask(Client.announced)
            return len(self._given) if found is None else found

    def _ask(self, what: Callable[[Client], Any]) -> Any:
        """Ask it; None if it does not run. One that does not answer is ended, and started again."""
        if self._client is None:
            return None
        try:
            return what(self._client)
        except NoAnswerError as error:
            log(f"gobgpd for {self.host}: {error}; it is started again")
            self._client = None
            if self._process is not None:
                self._process.kill()
            return None

    def _run(self) -> None:
        pause = _PAUSE_SECONDS
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                self._live()
            except Exception as error:  # also a defect: the other peers' daemons go on
                log(f"gobgpd for {self.host}: {error}")
            with self._hearing:
                self._tell(self._heard.ended())
            pause = _PAUSE_SECONDS if time.monotonic() > began + _LONG_LIVED else pause
            self._ending.wait(pause)
            pause = min(2 * pause, _PAUSE_MOST)

    def _live(self) -> None:
        """Run it once. NoAnswerError or RuleError says why it ended."""
        self._socket.unlink(missing_ok=True)
        with self._lock:
            if self._ending.is_set():
                return
            # In this thread, which lasts: the process ends with it (PR_SET_PDEATHSIG).
            process = self._process = subprocess.Popen(  # noqa: S603  # no shell
                self._command,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        reading = threading.Thread(target=self._read_log, args=(process.stdout,), daemon=True)
        reading.start()
        client = Client(self._socket)
        try:
            client.wait_until_ready(lambda: process.poll() is None)
            with self._lock:
                self._announce_again(client)
                self._client = client
            for event in client.events():
                self._event(client, event)
        finally:
            with self._lock:
                self._client = None
            client.close()
            end_process(process, _GOODBYE_SECONDS)
            reading.join(_GOODBYE_SECONDS)

    def _announce_again(self, client: Client) -> None:
        """Give it what was announced before. The bridge notices what it refuses."""
        for key, path in list(self._given.items()):
            try:
                client.announce(path)
            except RuleError as error:
                log(f"gobgpd for {self.host}: {error}")
                del self._given[key]

    def _event(self, client: Client, event: Any) -> None:
        if event.HasField("table"):
            with self._hearing:
                self._tell(self._heard.paths(event.table.paths))
            return
        if event.peer.type == _END_OF_INIT:
            return
        state = event.peer.peer.state
        if over_limit(state):
            timer = threading.Timer(_FORGIVE_SECONDS, self._forgive)
            timer.daemon = True
            timer.start()
        with self._hearing:
            self._tell(self._heard.session(state, lambda: client.capabilities(self.host)))

    def _forgive(self) -> None:
        with self._lock:
            self._ask(lambda client: client.enable(self.host))

    def _read_log(self, pipe: IO[bytes]) -> None:
        """Read its log, since nobody else does: it says why a session ended."""
        said = 0
        with pipe as lines:
            for line in lines:
                record = _record(line)
                if record.get("level") in _SEVERE and record.get("msg") and said < _SAID_MOST:
                    log(f"gobgpd for {self.host}: {plain(record['msg'])[:500]}")
                    said += 1
                if why := reason(record):
                    with self._hearing:
                        self._tell(self._heard.reason(why))


def _record(line: bytes) -> dict[str, Any]:
    """A line of the log. One that is no JSON is of a crash, or about the command line."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except ValueError:
        return {"level": "error", "msg": line.decode("utf-8", "replace").strip()}


def _key(path: Any) -> bytes:
    """What GoBGP tells paths apart by."""
    return bytes(path.family.SerializeToString() + path.nlri.value)
