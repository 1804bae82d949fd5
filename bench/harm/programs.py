# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs of people, all at once: servers inside, clients outside, and the other way round.

Each client asks again and again, and each time is an attempt that is served or not. What is served
is what the program itself says: its exit status, or its own count.
"""

import json
import re
import shutil
import subprocess
import sys
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
from tests.lab.behind.places import CLIENTS, SERVER, Place
from tests.lab.logins import Logins
from xdpctl.lab.namespaces import Host, LabError, sh

WEB, OUTSIDE = 8080, CLIENTS[-1]  # a server outside, which the inside asks
_PATIENCE = 4  # seconds, for what takes milliseconds
_MEGABYTES = 4
_ADMIN = "198.19.9.9"  # logs in; other boxes on this machine protect who is logged in, too
_TUNNEL = ("10.99.0.1", "10.99.0.2")
_READY_SECONDS = 10.0
_TRIES = 3
_SETTLE_SECONDS = 10.0  # longer than any program asks

_NGINX = """
daemon off; master_process off; error_log /dev/null; pid {folder}/{name}.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off; root {folder}/www; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen {address}:{port}; }}
}}
"""
_NSD = """
server:
  ip-address: {address}
  username: ""
  chroot: ""
  pidfile: "{folder}/{name}.pid"
  zonesdir: "{folder}"
  xfrdfile: "{folder}/{name}.xfrd"
  database: ""
  logfile: "{folder}/{name}.log"
  rrl-ratelimit: 0
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: school.example
  zonefile: zone
"""
_ZONE = """$ORIGIN school.example.
$TTL 60
@ SOA ns root 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.1
* A 192.0.2.1
"""
_RSYNC = """
use chroot = no
reverse lookup = no
pid file = {folder}/rsyncd.pid
[drop]
path = {folder}/drop
read only = no
uid = root
gid = root
"""


class Attempt(NamedTuple):
    """Something that a client asked for, from and until a monotonic time."""

    program: str
    began: float
    ended: float
    served: float
    asked: float


Ask = Callable[["Run", int], tuple[float, float]]  # what was served, and what was asked for


@dataclass(slots=True)
class Run:
    """The programs of one place. `attempts` is what became of them so far."""

    place: Place
    folder: Path
    logins: Logins
    attempts: list[Attempt] = field(default_factory=list)
    under_way: dict[str, float] = field(default_factory=dict)  # since when each program asks
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask_on(self, name: str, ask: Ask, every: float) -> None:
        """Ask again and again, until `stop`."""
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
        """Let each client end what it is at."""
        self._stop.set()

    def settle(self) -> None:
        """Wait until all that is asked now is served, or has failed."""
        began = time.monotonic()
        until = began + _SETTLE_SECONDS
        while time.monotonic() < until:
            with self._lock:
                if all(since > began for since in self.under_way.values()):
                    return
            time.sleep(0.05)

    def lost(self, since: float, until: float) -> dict[str, tuple[float, float]]:
        """What each program lost of what it asked for between two moments."""
        found: dict[str, tuple[float, float]] = {}
        with self._lock:
            attempts = list(self.attempts)
        for each in attempts:
            if since <= each.ended and each.began < until:
                lost, asked = found.get(each.program, (0.0, 0.0))
                found[each.program] = lost + each.asked - each.served, asked + each.asked
        return found


def _output(host: Host, *words: str, seconds: float = _PATIENCE) -> tuple[int, str]:
    """The exit status and the output of a program; 124 if it has to be ended."""
    pipe = subprocess.PIPE
    with host.popen(*words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as process:
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return 124, ""
    return process.returncode, out.decode(errors="replace")


def _client(number: int) -> str:
    return CLIENTS[number % (len(CLIENTS) - 1)]


def _runs(*words: str, inside: bool = False) -> Ask:
    """A command that is served if it succeeds; it runs at a client unless `inside`."""

    def ask(run: Run, number: int) -> tuple[float, float]:
        given = {"client": _client(number), "folder": run.folder, "server": SERVER, "n": number}
        host = run.place.server if inside else run.place.world
        status, _ = _output(host, *(word.format(**given) for word in words))
        return float(status == 0), 1.0

    return ask


def _queries(host: str, source: str, to: str, a_second: int) -> Ask:
    """Queries of dnsperf for a second, at a steady rate."""

    def ask(run: Run, number: int) -> tuple[float, float]:
        words = ("dnsperf", "-s", to, "-a", source, "-Q", str(a_second), "-l", "1", "-t", "2")
        at: Host = getattr(run.place, host)
        _, out = _output(at, *words, "-d", str(run.folder / "queries"), seconds=6)
        sent, done = (re.search(rf"Queries {what}: +(\d+)", out) for what in ("sent", "completed"))
        return (float(done[1]), float(sent[1])) if sent and done else (0.0, float(a_second))

    return ask


def _stream(run: Run, number: int) -> tuple[float, float]:
    """A call with video: 4 Mbit/s of UDP for a second, from iperf3.

    Its server resets a client that comes while it tidies up, which no rule does: once more then.
    """
    to = ("-c", SERVER, "-B", _client(number), "--connect-timeout", "2000")
    words = ("iperf3", *to, "-u", "-b", "4M", "-l", "1200", "-t", "1", "-J")
    for _ in range(_TRIES):
        status, out = _output(run.place.world, *words, seconds=6)
        if "reset by peer" not in out:
            break
    if status:
        return 0.0, 400.0
    found = json.loads(out)["end"]["sum"]
    return float(found["packets"] - found["lost_packets"]), float(found["packets"])


def _pushed(run: Run, number: int) -> tuple[float, float]:
    """Rsync pushes a file to the inside, over a new connection."""
    words = ("rsync", "--ignore-times", "--whole-file", f"--address={_client(number)}")
    to = f"rsync://{SERVER}/drop/{number}"
    status, _ = _output(run.place.world, *words, str(run.folder / "www" / "blob"), to, seconds=8)
    return float(status == 0), 1.0


def _cloned(run: Run, number: int) -> tuple[float, float]:
    """Git clones a repository from the inside."""
    to = run.folder / "clones" / str(number)
    status, _ = _output(run.place.world, "git", "clone", "-q", f"git://{SERVER}/site", str(to))
    shutil.rmtree(to, ignore_errors=True)
    return float(status == 0), 1.0


def _logged_in(run: Run, number: int) -> tuple[float, float]:
    """Somebody logs in by ssh and runs a command."""
    words = run.logins.words(_ADMIN, "root", "-T", SERVER, "true")
    status, _ = _output(run.place.world, *words)
    return float(status == 0), 1.0


def _timed(run: Run, number: int) -> tuple[float, float]:
    """Chrony asks the server's chrony for the time, without setting a clock."""
    source = f"server {SERVER} iburst maxsamples 1"
    words = (
        "chronyd",
        "-Q",
        "-t",
        "3",
        "-f",
        str(run.folder / "empty"),
        f"bindacqaddress {_client(number)}",
    )
    own = f"pidfile {run.folder / 'chrony.asks'}"  # it is removed at the end
    status, _ = _output(run.place.world, *words, source, "cmdport 0", own)
    return float(status == 0), 1.0


def _by_http3(run: Run, number: int) -> tuple[float, float]:
    """A new visitor by HTTP/3, from aioquic."""
    served = run.place.world.call(partial(http3.ask, SERVER, _client(number), float(_PATIENCE)))
    return float(served), 1.0


@dataclass(frozen=True, slots=True)
class Program:
    """What people use, how they ask, and how often at most (seconds).

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
_SITE, _OUTSIDE_SITE = f"http://{SERVER}:{WEB}", f"http://{OUTSIDE}:{WEB}"
_ALL = (
    Program("curl: a page, a new visitor each time", _runs(*_CURL, "{client}", f"{_SITE}/"), 0.1),
    Program("curl: a download of 4 MB at 4 MB/s",
            _runs(*_CURL, "{client}", "--limit-rate", "4M", f"{_SITE}/blob")),
    Program("curl, inside: a download from outside",
            _runs(*_CURL, SERVER, f"{_OUTSIDE_SITE}/blob", inside=True)),
    Program("rsync: a push of 4 MB", _pushed),
    Program("git: a clone", _cloned, 1.0),
    Program("ssh: a login", _logged_in, 1.0),
    Program("nsd: queries of a resolver, 300/s", _queries("world", CLIENTS[3], SERVER, 300), 0.0),
    Program("nsd, outside: queries of the inside, 100/s",
            _queries("server", SERVER, OUTSIDE, 100), 0.0),
    Program("chrony: a new client", _timed, 0.5),
    Program("iperf3: 4 Mbit/s of UDP", _stream, 0.2),
    Program("sipp: a call", _runs(
        "sipp", SERVER, "-sn", "uac", "-i", "{client}", "-m", "1", "-d", "100", "-nostdin",
        "-timeout", "3", "-timeout_error", "-p", "{n}")),
    Program("openvpn: a ping through the tunnel", _runs(*_PING, _TUNNEL[0]), 0.2),
    Program("ping", _runs(*_PING, "-I", "{client}", SERVER), 0.2),
    Program("etcd: a write", _runs(
        "etcdctl", "--endpoints", f"http://{SERVER}:2379", "--dial-timeout", "3s",
        "--command-timeout", "3s", "put", "key", "value"), 0.5),
    Program("HTTP/3: a page, a new visitor each time", _by_http3, 0.3),
)  # fmt: skip


PROGRAMS = tuple(each for each in _ALL if each.here)
MISSING = tuple(each.name for each in _ALL if not each.here)


def _files(folder: Path) -> None:
    """What the servers have, and their settings."""
    for name in ("www", "body", "proxy", "fcgi", "uwsgi", "scgi", "drop", "clones", "etcd"):
        (folder / name).mkdir()
    (folder / "www" / "index.html").write_text("good morning, class\n")
    (folder / "www" / "blob").write_bytes(bytes(_MEGABYTES << 20))
    (folder / "zone").write_text(_ZONE)
    (folder / "empty").write_text("")
    names = "\n".join(f"pupil{n}.school.example A" for n in range(500))
    (folder / "queries").write_text(names + "\n")
    (folder / "rsyncd").write_text(_RSYNC.format(folder=folder))
    for name, address in (("inside", SERVER), ("outside", OUTSIDE)):
        given = {"folder": folder, "name": name, "address": address, "port": WEB}
        (folder / f"nginx.{name}").write_text(_NGINX.format(**given))
        (folder / f"nsd.{name}").write_text(_NSD.format(**given))


def _commands(folder: Path, vpn: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each server, and where it runs; `vpn` is the fingerprint of the tunnel's certificate."""
    for where, name in (("server", "inside"), ("world", "outside")):
        yield where, ("nginx", "-p", str(folder), "-c", str(folder / f"nginx.{name}"))
        yield where, ("nsd", "-d", "-c", str(folder / f"nsd.{name}"))
    yield "server", ("rsync", "--daemon", "--no-detach", f"--config={folder / 'rsyncd'}")
    # not as `git daemon`, which starts it as a child that would outlive it
    git = f"{sh('git', '--exec-path').strip()}/git-daemon"
    yield "server", (git, "--export-all", f"--base-path={folder / 'git'}", "--reuseaddr")
    allow = ("allow all", "local stratum 3", "cmdport 0", f"pidfile {folder / 'chrony.pid'}")
    yield "server", ("chronyd", "-x", "-d", "-U", "-u", "root", "-f", str(folder / "empty"), *allow)
    yield "server", ("iperf3", "-s", "-B", SERVER)
    yield "server", ("sipp", "-sn", "uas", "-i", SERVER, "-nostdin")
    yield "server", (sys.executable, "-m", "bench.harm.http3", SERVER, str(folder))
    at = f"http://{SERVER}:2379"
    etcd = ("--listen-client-urls", at, "--advertise-client-urls", at, "--data-dir")
    peers = ("--listen-peer-urls", "http://127.0.0.1:2380")
    yield "server", ("etcd", *etcd, str(folder / "etcd"), *peers, "--log-level", "error")
    keys = ("--cert", str(folder / "vpn.pem"), "--key", str(folder / "vpn.key"), "--dh", "none")
    tunnel = ("openvpn", "--dev", "tun9", "--dev-type", "tun", "--peer-fingerprint", vpn, *keys)
    yield "server", (*tunnel, "--local", SERVER, "--ifconfig", *_TUNNEL, "--tls-server")
    there = ("--ifconfig", *_TUNNEL[::-1], "--tls-client", "--remote", SERVER)
    yield "world", (*tunnel, *there, "--local", _client(7))


@contextmanager
def running(place: Place) -> Iterator[Run]:
    """The servers run, and each client asks, until the block ends."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="xdpctl-people-")))
        folder.chmod(0o755)
        _files(folder)
        fingerprint = http3.certify(folder, "vpn")
        _repository(folder / "git" / "site")
        logins = Logins(place.server)
        cleanup.callback(logins.close)
        log = cleanup.enter_context((folder / "log").open("wb"))
        for where, words in _commands(folder, fingerprint):
            host: Host = getattr(place, where)
            if shutil.which(words[0]) is None:
                continue
            process = host.popen(*words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            cleanup.callback(process.wait)
            cleanup.callback(process.kill)
        run = Run(place, folder, logins)
        place.speak_from(_client(20))
        place.world.ip(f"addr add {_ADMIN}/32 dev lo")
        _until_all_serve(run)
        threads = [
            threading.Thread(target=run.ask_on, args=(each.name, each.ask, each.every))
            for each in PROGRAMS
        ]
        for thread in threads:
            thread.start()
            cleanup.callback(thread.join)
        cleanup.callback(run.stop)
        yield run


def _repository(path: Path) -> None:
    """A bare repository with one commit."""
    work = path.parent / "work"
    sh("git", "init", "-q", str(work))
    (work / "page").write_text("good morning, class\n" * 1_000)
    who = ("-c", "user.name=school", "-c", "user.email=it@school.example")
    sh("git", "-C", str(work), "add", "page")
    sh("git", "-C", str(work), *who, "commit", "-q", "-m", "a page")
    sh("git", "clone", "-q", "--bare", str(work), str(path))


def _until_all_serve(run: Run) -> None:
    """Wait until each program is served once; LabError if one is not."""
    until, missing = time.monotonic() + _READY_SECONDS, list(PROGRAMS)
    while missing:
        missing = [each for each in missing if each.ask(run, 0)[0] == 0]
        if missing and time.monotonic() > until:
            said = (run.folder / "log").read_text(errors="replace")[-2_000:]
            raise LabError(f"not served: {', '.join(each.name for each in missing)}: {said}")
