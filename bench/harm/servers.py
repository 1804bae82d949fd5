# SPDX-License-Identifier: GPL-2.0-or-later
"""The servers that people use: their settings, and how each is started."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.behind.places import CLIENTS, CLIENTS6, SERVER, SERVER6
from xdpctl.lab.namespaces import sh

WEB = 8080
_MEGABYTES = 4
# who logs in; other boxes on this machine protect who is logged in, too
_ADMIN, _ADMIN6 = "198.19.9.9", "2001:db8:ad::9"
TUNNEL = ("10.99.0.1", "10.99.0.2")

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
  xfrdir: "{folder}"
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


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one family: servers inside and outside, clients, and who logs in."""

    six: bool = False

    @property
    def server(self) -> str:
        return SERVER6 if self.six else SERVER

    @property
    def outside(self) -> str:
        return (CLIENTS6 if self.six else CLIENTS)[-1]

    @property
    def admin(self) -> str:
        return _ADMIN6 if self.six else _ADMIN

    def client(self, number: int) -> str:
        """The address of client `number`; addresses are used in turn."""
        clients = CLIENTS6 if self.six else CLIENTS
        return clients[number % (len(clients) - 1)]

    def host(self, address: str) -> str:
        """An address as it is written in a URL."""
        return f"[{address}]" if self.six else address


def files(folder: Path, at: Addresses) -> None:
    """Write the content and the settings of the servers."""
    for name in ("www", "body", "proxy", "fcgi", "uwsgi", "scgi", "drop", "clones", "etcd"):
        (folder / name).mkdir()
    (folder / "www" / "index.html").write_text("good morning, class\n")
    (folder / "www" / "blob").write_bytes(bytes(_MEGABYTES << 20))
    (folder / "zone").write_text(_ZONE)
    (folder / "empty").write_text("")
    names = "\n".join(f"pupil{n}.school.example A" for n in range(500))
    (folder / "queries").write_text(names + "\n")
    (folder / "rsyncd").write_text(_RSYNC.format(folder=folder))
    for name, address in (("inside", at.server), ("outside", at.outside)):
        fields = {"folder": folder, "name": name, "address": address, "port": WEB}
        listens = fields | {"address": at.host(address)}
        (folder / f"nginx.{name}").write_text(_NGINX.format(**listens))
        (folder / f"nsd.{name}").write_text(_NSD.format(**fields))


def commands(folder: Path, vpn: str, at: Addresses) -> Iterator[tuple[str, tuple[str, ...]]]:
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
    yield "server", ("iperf3", "-s", "-B", at.server)
    yield "server", ("sipp", "-sn", "uas", "-i", at.host(at.server), "-nostdin")
    yield "server", (sys.executable, "-m", "bench.harm.http3", at.server, str(folder))
    clients = f"http://{at.host(at.server)}:2379"
    etcd = ("--listen-client-urls", clients, "--advertise-client-urls", clients, "--data-dir")
    peers = ("--listen-peer-urls", "http://127.0.0.1:2380")
    yield "server", ("etcd", *etcd, str(folder / "etcd"), *peers, "--log-level", "error")
    keys = ("--cert", str(folder / "vpn.pem"), "--key", str(folder / "vpn.key"), "--dh", "none")
    tunnel = ("openvpn", "--dev", "tun9", "--dev-type", "tun", "--peer-fingerprint", vpn, *keys)
    over = ("--proto", "udp6" if at.six else "udp4")
    yield "server", (*tunnel, *over, "--local", at.server, "--ifconfig", *TUNNEL, "--tls-server")
    there = ("--ifconfig", *TUNNEL[::-1], "--tls-client", "--remote", at.server)
    yield "world", (*tunnel, *over, *there, "--local", at.client(7))


def repository(path: Path) -> None:
    """A bare repository with one commit."""
    work = path.parent / "work"
    sh("git", "init", "-q", str(work))
    (work / "page").write_text("good morning, class\n" * 1_000)
    who = ("-c", "user.name=school", "-c", "user.email=it@school.example")
    sh("git", "-C", str(work), "add", "page")
    sh("git", "-C", str(work), *who, "commit", "-q", "-m", "a page")
    sh("git", "clone", "-q", "--bare", str(work), str(path))
