# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs, all at once: servers inside with clients outside, and the other way round.

Each client asks again and again, and each time is an attempt that is served or not. What is served
is what the program itself says: its exit status, or its own count.
"""

import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.harm import http3
from bench.harm.servers import TUNNEL, WEB, Addresses, commands, files, repository
from tests.lab.behind.places import CLIENTS, Place
from tests.lab.logins import Logins
from xdpctl.lab.namespaces import Host, LabError
from xdpctl.lab.waits import HANG_SECONDS

RESOLVER = 3  # the number of the client that asks for names
_PATIENCE = 4  # seconds, for what takes milliseconds
# iperf3's server serves one client at a time; whom it turns away calls again for so long, so often
_TURNED_AWAY = ("reset by peer", "busy running a test")
_AGAIN_SECONDS, _PAUSE = 3.0, 0.2
_SETTLE_SECONDS = 10.0  # longer than any program asks


class Attempt(NamedTuple):
    """One request of a client, with the monotonic times of its beginning and end."""

    program: str
    began: float
    ended: float
    served: float
    asked: float


Ask = Callable[["Run", int], tuple[float, float]]  # what was served, and what was asked for


@dataclass(slots=True)
class Run:
    """The running programs of one place; `attempts` has their results so far."""

    place: Place
    folder: Path
    logins: Logins
    at: Addresses
    attempts: list[Attempt] = field(default_factory=list)
    under_way: dict[str, float] = field(default_factory=dict)  # since when each program asks
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask_on(self, name: str, ask: Ask, every: float) -> None:
        """Repeat the request until `stop`."""
        number = 0
        while not self._stop.is_set():
            began = self.under_way[name] = time.monotonic()
            try:
                served, asked = ask(self, number)
            except (OSError, ValueError, KeyError):  # what it said cannot be read
                served, asked = 0.0, 1.0
            with self._lock:
                del self.under_way[name]
                self.attempts.append(Attempt(name, began, time.monotonic(), served, asked))
            number += 1
            self._stop.wait(max(0.0, began + every - time.monotonic()))

    def stop(self) -> None:
        """Stop; each client finishes its current request."""
        self._stop.set()

    def settle(self) -> None:
        """Wait until all current requests are served or have failed."""
        began = time.monotonic()
        until = began + _SETTLE_SECONDS
        while time.monotonic() < until:
            with self._lock:
                if all(since > began for since in self.under_way.values()):
                    return
            time.sleep(0.05)

    def lost(self, since: float, until: float) -> dict[str, tuple[float, float]]:
        """For each program, what was lost and what was requested between two times."""
        losses: dict[str, tuple[float, float]] = {}
        with self._lock:
            attempts = list(self.attempts)
        for attempt in attempts:
            if since <= attempt.ended and attempt.began < until:
                lost, asked = losses.get(attempt.program, (0.0, 0.0))
                losses[attempt.program] = (
                    lost + attempt.asked - attempt.served,
                    asked + attempt.asked,
                )
        return losses


def _output(host: Host, *words: str, seconds: float = _PATIENCE) -> tuple[int, str]:
    """The exit status and the output of a program; 124 after a timeout."""
    pipe = subprocess.PIPE
    with host.popen(*words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as process:
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return 124, ""
    return process.returncode, out.decode(errors="replace")


def _runs(*words: str, inside: bool = False) -> Ask:
    """A command that counts as served if it succeeds; it runs at a client unless `inside`."""

    def ask(run: Run, number: int) -> tuple[float, float]:
        at = run.at
        fields = {"client": at.client(number), "server": at.server, "n": number}
        fields |= {"in": at.host(at.server), "out": at.host(at.outside)}
        fields |= {"from": at.host(at.client(number))}
        host = run.place.server if inside else run.place.world
        status, _ = _output(host, *(word.format(**fields) for word in words))
        return float(status == 0), 1.0

    return ask


def _queries(inside: bool, a_second: int) -> Ask:
    """One second of dnsperf at a steady rate, from the inside or to it."""

    def ask(run: Run, number: int) -> tuple[float, float]:
        ends = (
            (run.at.server, run.at.outside) if inside else (run.at.client(RESOLVER), run.at.server)
        )
        words = ("dnsperf", "-a", ends[0], "-s", ends[1], "-Q", str(a_second), "-l", "1", "-t", "2")
        host = run.place.server if inside else run.place.world
        _, out = _output(host, *words, "-d", str(run.folder / "queries"), seconds=6)
        sent, done = (re.search(rf"Queries {what}: +(\d+)", out) for what in ("sent", "completed"))
        return (float(done[1]), float(sent[1])) if sent and done else (0.0, float(a_second))

    return ask


def _stream(run: Run, number: int) -> tuple[float, float]:
    """A call with video: 4 Mbit/s of UDP for a second, from iperf3.

    Its server may still wait for the client before, or clean up. Then it turns this one away, which
    calls again. That counts as no loss, since the client has reached the server.
    """
    to = ("-c", run.at.server, "-B", run.at.client(number), "--connect-timeout", "2000")
    words = ("iperf3", *to, "-u", "-b", "4M", "-l", "1200", "-t", "1", "-J")
    until = time.monotonic() + _AGAIN_SECONDS
    while True:
        status, out = _output(run.place.world, *words, seconds=6)
        if time.monotonic() > until or not any(said in out for said in _TURNED_AWAY):
            break
        time.sleep(_PAUSE)
    if status:
        return 0.0, 400.0
    totals = json.loads(out)["end"]["sum"]
    return float(totals["packets"] - totals["lost_packets"]), float(totals["packets"])


def _pushed(run: Run, number: int) -> tuple[float, float]:
    """Rsync pushes a file to the inside, over a new connection."""
    words = ("rsync", "--ignore-times", "--whole-file", f"--address={run.at.client(number)}")
    to = f"rsync://{run.at.host(run.at.server)}/drop/{number}"
    status, _ = _output(run.place.world, *words, str(run.folder / "www" / "blob"), to, seconds=8)
    return float(status == 0), 1.0


def _cloned(run: Run, number: int) -> tuple[float, float]:
    """Git clones a repository from the inside."""
    to = run.folder / "clones" / str(number)
    site = f"git://{run.at.host(run.at.server)}/site"
    status, _ = _output(run.place.world, "git", "clone", "-q", site, str(to))
    shutil.rmtree(to, ignore_errors=True)
    return float(status == 0), 1.0


def _logged_in(run: Run, number: int) -> tuple[float, float]:
    """Somebody logs in by ssh and runs a command."""
    words = run.logins.words(run.at.admin, "root", "-T", run.at.server, "true")
    status, _ = _output(run.place.world, *words)
    return float(status == 0), 1.0


def _timed(run: Run, number: int) -> tuple[float, float]:
    """Chrony asks the server's chrony for the time, without setting a clock."""
    source = f"server {run.at.server} iburst maxsamples 1"
    words = (
        "chronyd",
        "-Q",
        "-t",
        "3",
        "-f",
        str(run.folder / "empty"),
        f"bindacqaddress {run.at.client(number)}",
    )
    own = f"pidfile {run.folder / 'chrony.asks'}"  # it is removed at the end
    status, _ = _output(run.place.world, *words, source, "cmdport 0", own)
    return float(status == 0), 1.0


def _by_http3(run: Run, number: int) -> tuple[float, float]:
    """A new visitor by HTTP/3, from aioquic."""
    served = run.place.world.call(
        partial(http3.ask, run.at.server, run.at.client(number), float(_PATIENCE))
    )
    return float(served), 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program that people use, its request, and the seconds between two requests.

    The name begins with the program that must be installed, if it is not a library.
    """

    name: str
    ask: Ask
    every: float = 0.5

    @property
    def here(self) -> bool:
        """Whether it is installed."""
        program = self.name.split(":")[0].split(",")[0]
        return program == _LIBRARY or shutil.which(_SERVERS.get(program, program)) is not None


_LIBRARY = "HTTP/3"
_SERVERS = {"curl": "nginx", "ssh": "sshd", "chrony": "chronyd"}  # what is installed with more
_CURL = ("curl", "-sf", "-o", "/dev/null", "-m", str(_PATIENCE), "--interface")
_PING = ("ping", "-n", "-q", "-c", "1", "-W", "2")
_SITE, _OUTSIDE_SITE = (f"http://{{{where}}}:{WEB}" for where in ("in", "out"))
_ALL = (
    Program("curl: a page, a new visitor each time", _runs(*_CURL, "{client}", f"{_SITE}/"), 0.1),
    Program("curl: a download of 4 MB at 4 MB/s",
            _runs(*_CURL, "{client}", "--limit-rate", "4M", f"{_SITE}/blob")),
    Program("curl, inside: a download from outside",
            _runs(*_CURL, "{server}", f"{_OUTSIDE_SITE}/blob", inside=True)),
    Program("rsync: a push of 4 MB", _pushed),
    Program("git: a clone", _cloned, 1.0),
    Program("ssh: a login", _logged_in, 1.0),
    Program("nsd: queries of a resolver, 300/s", _queries(False, 300), 0.0),
    Program("nsd, outside: queries of the inside, 100/s",
            _queries(True, 100), 0.0),
    Program("chrony: a new client", _timed, 0.5),
    Program("iperf3: 4 Mbit/s of UDP", _stream, 0.2),
    Program("sipp: a call", _runs(
        "sipp", "{in}", "-sn", "uac", "-i", "{from}", "-m", "1", "-d", "100", "-nostdin",
        "-timeout", "3", "-timeout_error", "-p", "{n}")),
    Program("openvpn: a ping through the tunnel", _runs(*_PING, TUNNEL[0]), 0.2),
    Program("ping", _runs(*_PING, "-I", "{client}", "{server}"), 0.2),
    Program("etcd: a write", _runs(
        "etcdctl", "--endpoints", "http://{in}:2379", "--dial-timeout", "3s",
        "--command-timeout", "3s", "put", "key", "value"), 0.5),
    Program("HTTP/3: a page, a new visitor each time", _by_http3, 0.3),
)  # fmt: skip


PROGRAMS = tuple(program for program in _ALL if program.here)
MISSING = tuple(program.name for program in _ALL if not program.here)


@contextmanager
def running(place: Place, six: bool = False) -> Iterator[Run]:
    """Run the servers and let each client send requests until the block ends."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="xdpctl-people-")))
        folder.chmod(0o755)
        at = Addresses(six)
        if six:
            place.add_six()
        files(folder, at)
        fingerprint = http3.certify(folder, "vpn")
        repository(folder / "git" / "site")
        logins = Logins(place.server)
        cleanup.callback(logins.close)
        log = cleanup.enter_context((folder / "log").open("wb"))
        for where, words in commands(folder, fingerprint, at):
            host: Host = getattr(place, where)
            if shutil.which(words[0]) is None:
                continue
            process = host.popen(*words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            cleanup.callback(process.wait)
            cleanup.callback(process.kill)
        run = Run(place, folder, logins, at)
        place.speak_from(CLIENTS[20])
        place.world.ip(f"addr add {at.admin} dev lo")
        _until_all_serve(run)
        threads = [
            threading.Thread(target=run.ask_on, args=(program.name, program.ask, program.every))
            for program in PROGRAMS
        ]
        for thread in threads:
            thread.start()
            cleanup.callback(thread.join)
        cleanup.callback(run.stop)
        yield run


def _until_all_serve(run: Run) -> None:
    """Wait until each program is served once; LabError if one is not."""
    until, missing = time.monotonic() + HANG_SECONDS, list(PROGRAMS)
    while missing:
        missing = [program for program in missing if program.ask(run, 0)[0] == 0]
        if missing and time.monotonic() > until:
            log = (run.folder / "log").read_text(errors="replace")[-2_000:]
            raise LabError(f"not served: {', '.join(program.name for program in missing)}: {log}")
