# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the kinds of interfaces that need no card: tunnels, PPP, bonds, VLANs and others."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.vm.inside.machine import sh, until
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.loader import netlink
from xdpctl.lab.namespaces import Host

_MODULES = "veth wireguard ip_gre ipip sit pppoe bonding 8021q macvlan bridge".split()
BASE, FAR_BASE = "10.99.0.1", "10.99.0.2"
BOTH = (4, 6)
_PASS = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit


@dataclass(frozen=True, slots=True)
class Kind:
    """An interface of the box with its far end; `over` has the addresses if it is another one."""

    description: str
    name: str
    far: str
    families: tuple[int, ...] = BOTH
    over: str = ""


def pair(name: str, far: Host, far_name: str) -> None:
    sh(*f"ip link add {name} type veth peer name {far_name} netns {far.name}".split())
    up(name, far, far_name)


def receives(far: Host, name: str) -> None:
    """Let a far end take what XDP sends back: a veth needs an XDP program, too."""
    fd = programs.load("pass", _PASS, programs.Kin(flags=0), programs.XDP)

    def work() -> None:
        (link,) = (link for link in netlink.links() if link.name == name)
        netlink.attach(link, fd, "native")

    far.call(work)


def up(name: str, far: Host, far_name: str) -> None:
    sh("ip", "link", "set", name, "up")
    far.ip(f"link set {far_name} up")


def make_kinds(far: Host) -> Iterator[Kind]:
    for module in _MODULES:
        sh("modprobe", module)
    for run in (partial(sh, "sysctl", "-qw"), partial(far.sh, "sysctl", "-qw")):
        run("net.ipv4.conf.all.arp_ignore=1")  # each interface answers for its own addresses
    pair("base0", far, "base1")
    sh(*f"ip addr add {BASE}/24 dev base0".split())
    far.ip(f"addr add {FAR_BASE}/24 dev base1")
    yield from _tunnels(far)
    yield wireguard(far)
    yield from _sessions(far)
    yield from _compound(far)


def _tunnels(far: Host) -> Iterator[Kind]:
    for kind, families in (("gre", BOTH), ("ipip", (4,)), ("sit", (6,))):
        ends = ((sh_ip, "x0", BASE, FAR_BASE), (far.ip, "x1", FAR_BASE, BASE))
        for run, end, local, remote in ends:
            run(f"link add {kind}{end} type {kind} local {local} remote {remote} ttl 64")
        up(f"{kind}x0", far, f"{kind}x1")
        words = {"gre": "GRE", "ipip": "IPIP", "sit": "6in4 (sit)"}
        yield Kind(words[kind], f"{kind}x0", f"{kind}x1", families)


def sh_ip(line: str) -> str:
    return sh("ip", *line.split())


def wireguard(far: Host) -> Kind:
    keys = [sh("wg", "genkey") for _ in range(2)]
    public = [
        subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True).stdout.strip()
        for key in keys
    ]
    for number, key in enumerate(keys):
        Path(f"/tmp/key{number}").write_text(key)
    allowed = ("allowed-ips", "0.0.0.0/0,::/0")
    sh_ip("link add wg0 type wireguard")
    sh("wg", "set", "wg0", "listen-port", "5000", "private-key", "/tmp/key0")
    sh("wg", "set", "wg0", "peer", public[1], *allowed, "endpoint", f"{FAR_BASE}:5001")
    far.ip("link add wg1 type wireguard")
    far.sh("wg", "set", "wg1", "listen-port", "5001", "private-key", "/tmp/key1")
    far.sh("wg", "set", "wg1", "peer", public[0], *allowed, "endpoint", f"{BASE}:5000")
    up("wg0", far, "wg1")
    return Kind("WireGuard", "wg0", "wg1")


def _is_up(name: str) -> bool:
    return "LOWER_UP" in sh("ip", "link", "show", name, check=False)


def _sessions(far: Host) -> Iterator[Kind]:
    """Two sessions of PPPoE: one filtered on the PPP interface, one on the card that carries it."""
    Path("/dev/pts").mkdir(exist_ok=True)
    sh("mount", "-t", "devpts", "devpts", "/dev/pts", check=False)
    Path("/etc/ppp/pppoe-server-options").write_text("noauth\nlcp-echo-interval 0\n")
    for number in range(2):
        pair(f"poe{number}", far, f"ac{number}")
        far.sh(*f"pppoe-server -I ac{number} -L 10.98.{number}.2 -R 10.98.{number}.1 -N 1".split())
        subprocess.Popen(
            f"pppd plugin pppoe.so poe{number} unit {number} noauth noipdefault nodefaultroute "
            "lcp-echo-interval 0 nodetach".split(),
            stdin=subprocess.DEVNULL,
        )
        until(partial(_is_up, f"ppp{number}"), 60)
        time.sleep(1)
        ends = [line.split(":")[1].strip() for line in far.ip("-o link show type ppp").splitlines()]
        peer = ends[-1]
        description = "PPP (a PPPoE client's)" if number == 0 else "PPPoE on the card"
        if number == 0:
            yield Kind(description, "ppp0", peer)
        else:
            receives(far, "ac1")
            yield Kind(description, "poe1", peer, over="ppp1")


def _compound(far: Host) -> Iterator[Kind]:
    sh_ip("link add link base0 name base0.7 type vlan id 7")
    far.ip("link add link base1 name base1.7 type vlan id 7")
    up("base0.7", far, "base1.7")
    yield Kind("VLAN interface", "base0.7", "base1.7")
    for mode, description in (
        ("active-backup", "bond, active-backup"),
        ("802.3ad", "bond, LACP"),
    ):
        short = "ab" if mode == "active-backup" else "lacp"
        for run, end in ((sh_ip, 0), (far.ip, 1)):
            run(f"link add bond{short}{end} type bond mode {mode} miimon 100")
        for cable in range(2):
            names = f"{short}{cable}0", f"{short}{cable}1"
            pair(names[0], far, names[1])
            sh_ip(f"link set {names[0]} down")
            far.ip(f"link set {names[1]} down")
            sh_ip(f"link set {names[0]} master bond{short}0")
            far.ip(f"link set {names[1]} master bond{short}1")
        up(f"bond{short}0", far, f"bond{short}1")
        receives(far, f"bond{short}1")
        yield Kind(description, f"bond{short}0", f"bond{short}1")
    sh_ip("link add link base0 name mac0 type macvlan mode bridge")
    far.ip("link add link base1 name mac1 type macvlan mode bridge")
    up("mac0", far, "mac1")
    yield Kind("macvlan", "mac0", "mac1")
    pair("port0", far, "port1")
    receives(far, "port1")
    sh_ip("link add br0 type bridge")
    sh_ip("link set port0 master br0")
    sh_ip("link set br0 up")
    yield Kind("port of a bridge", "port0", "port1", over="br0")
    pair("leg0", far, "leg1")
    sh_ip("link add br1 type bridge")
    sh_ip("link set leg0 master br1")
    up("br1", far, "leg1")
    yield Kind("bridge itself", "br1", "leg1")
