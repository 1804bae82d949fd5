# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks whether this host can filter. Every finding that is not ok says what to do."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from xdpctl.base.net.interfaces import read_stats, xdp_not_sent
from xdpctl.base.system import extras
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.bpffs import is_bpffs
from xdpctl.datapath.loader import behind, netlink
from xdpctl.datapath.loader.filter_program import is_shipped
from xdpctl.datapath.loader.netlink import Link
from xdpctl.datapath.loader.take_down import OURS, slots_ids
from xdpctl.errors import AttachError

MINIMUM_KERNEL = (6, 1)
_NATIVE = frozenset(
    "virtio_net veth ixgbe i40e ice igb igc mlx4_en mlx5_core bnxt_en ena nfp qede sfc tun vmxnet3 "
    "thunderx hv_netvsc mvneta mvpp2 stmmac fec dpaa2 gve mana atlantic tsnep bonding".split()
)
_ETHTOOL_SECONDS = 3.0
_OFFLOADS = {
    "large-receive-offload": "most drivers refuse XDP while LRO is on",
    "rx-vlan-offload": "the NIC strips VLAN tags before XDP, so rules see the inner packet only",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check. `level` is ok, warning or problem; `fix` says what to do."""

    level: str
    subject: str
    text: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """The fields as a dict for JSON."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Findings about the host, the settings, and each configured interface."""
    from xdpctl.doctor import files  # imported late: the loader calls only of_host

    about = [Finding("problem", *wrong) for wrong in files.problems(settings)]
    return [*about, *of_host(settings)]


def of_host(settings: Settings) -> list[Finding]:
    """Findings about the host, then each configured interface; all but lo if none is configured."""
    findings = [_kernel(), _jit(), _btf(), _compiler(settings), _privileges()]
    findings += [_bpffs(settings.pin_dir), _unprivileged(), _syncookies()]
    present = {link.name: link for link in netlink.links()}
    findings += [_sides(settings)]
    readable = tuple(n for n in present if n != "lo" and present[n].layer is not None)
    if not settings.interface_names:
        fix = "give -i eth0, or set interfaces in the configuration"
        findings.append(Finding("problem", "interfaces", "none is set: nothing is filtered", fix))
    names = settings.interface_names or readable
    for name in names:
        if name in present:
            shared = name in settings.shared_interfaces
            findings += _interface(present[name], settings.pin_dir, shared)
        else:
            others = ", ".join(present)
            text = f"there is no such interface now; existing ones are {others}"
            findings.append(
                Finding(
                    "warning",
                    name,
                    text,
                    "check the name; the filter is attached when the interface appears",
                )
            )
    return findings


def _kernel() -> Finding:
    release = platform.release()
    numbers = tuple(int(n) for n in re.findall(r"\d+", release)[:2])
    if numbers >= MINIMUM_KERNEL:
        return Finding("ok", "kernel", release)
    return Finding("problem", "kernel", f"{release} is older than 6.1", "boot 6.1 or newer")


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _jit() -> Finding:
    value = _read("/proc/sys/net/core/bpf_jit_enable")
    if value in ("1", "2"):
        return Finding("ok", "BPF JIT", "on")
    if value is None:
        return Finding(
            "ok", "BPF JIT", "not visible in this network namespace; check it on the host"
        )
    fix = "sysctl net.core.bpf_jit_enable=1"
    return Finding("warning", "BPF JIT", "off: filtering is several times slower", fix)


def _btf() -> Finding:
    if Path("/sys/kernel/btf/vmlinux").exists():
        return Finding("ok", "BTF", "present")
    return Finding("warning", "BTF", "absent; not needed by this version")


def _compiler(settings: Settings) -> Finding:
    """Whether the programs for these settings are shipped, or else bcc can compile them."""
    flows = settings.flow_memory if settings.outside_interfaces else None
    if is_shipped(flows):
        return Finding("ok", "compiler", "not needed: the package has the compiled filter")
    spec = extras.find_bcc()
    if spec is None or spec.origin is None:
        return Finding("problem", "bcc", "not importable by this Python", extras.bcc_remedy())
    if not (Path(spec.origin).parent / "libbcc.py").exists():
        fix = "pip uninstall bcc; apt-get install python3-bpfcc"
        return Finding("problem", "bcc", "this is the unrelated package bcc from PyPI", fix)
    return Finding("ok", "bcc", str(Path(spec.origin).parent))


def _privileges() -> Finding:
    if os.geteuid() == 0:
        return Finding("ok", "privileges", "root")
    return Finding("problem", "privileges", "not root", "use sudo")


def _bpffs(directory: Path) -> Finding:
    if is_bpffs(directory):
        return Finding("ok", "bpffs", f"{directory} is on a BPF file system")
    if "bpf" in (_read("/proc/filesystems") or "").split():
        return Finding("ok", "bpffs", f"none at {directory} yet; `xdpctl run` mounts one")
    return Finding(
        "problem", "bpffs", "this kernel has no BPF file system", "needs CONFIG_BPF_SYSCALL"
    )


def _unprivileged() -> Finding:
    value = _read("/proc/sys/kernel/unprivileged_bpf_disabled")
    if value == "1":
        fix = "set kernel.unprivileged_bpf_disabled=2; 1 lasts until the next boot"
        text = "1: on some kernels the unprivileged control plane cannot write maps"
        return Finding("warning", "unprivileged BPF", text, fix)
    return Finding("ok", "unprivileged BPF", f"kernel.unprivileged_bpf_disabled={value}")


def _syncookies() -> Finding:
    value = _read("/proc/sys/net/ipv4/tcp_syncookies") or "not visible here"
    text = f"net.ipv4.tcp_syncookies: {value}; `challenge --cookies` needs 2"
    return Finding("ok", "SYN cookies", text)


def _sides(settings: Settings) -> Finding:
    if settings.outside_interfaces:
        return Finding(
            "ok", "spoofing", f"outside: {', '.join(sorted(settings.outside_interfaces))}"
        )
    text = "no interface is declared to be outside: spoofed addresses of yours pass every rule"
    fix = 'interfaces = [{name = "eth0", side = "outside"}], if no host of yours is behind it'
    return Finding("warning", "spoofing", text, fix)


def _interface(link: Link, pin_dir: Path, shared: bool) -> Iterator[Finding]:
    if link.layer is None:
        yield Finding("problem", link.name, netlink.unreadable(link), "set another interface")
        return
    driver = netlink.driver(link.name)
    known = link.kind in _NATIVE or driver in _NATIVE
    name = link.kind or driver
    if known:
        yield Finding("ok", link.name, f"{name}, supports native XDP")
    else:
        fix = "use a NIC whose driver supports it, or accept generic mode (several times slower)"
        yield Finding(
            "warning", link.name, f"{name}: not in the list of drivers with native XDP", fix
        )
    if not link.up:
        yield Finding("warning", link.name, "the interface is down", f"ip link set {link.name} up")
    if lost := xdp_not_sent(read_stats(link.name)):
        text = f"{lost:,} packets that XDP sent back did not leave; challenges need them to leave"
        fix = "see `ethtool -S`; a veth needs an XDP program or GRO at its peer"
        yield Finding("warning", link.name, text, fix)
    yield from _offloads(link)
    yield from _attached(link, pin_dir, shared)


def _offloads(link: Link) -> Iterator[Finding]:
    ethtool = shutil.which("ethtool")
    if ethtool is None:
        yield Finding("warning", link.name, "offloads unknown", "apt-get install ethtool")
        return
    command = [ethtool, "-k", link.name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ETHTOOL_SECONDS)  # noqa: S603  # no shell
    except subprocess.TimeoutExpired:
        text = f"ethtool did not answer within {_ETHTOOL_SECONDS:g} s"
        yield Finding("warning", link.name, text, "look at its driver in the kernel log")
        return
    text = done.stdout
    flags = dict(re.findall(r"^[ \t]*([\w-]{1,60}): (on|off)", text, re.MULTILINE))
    for name, why in _OFFLOADS.items():
        virtual = link.kind in ("veth", "bridge", "tun", "dummy", "bond")
        if flags.get(name) == "on" and not virtual:
            short = {"large-receive-offload": "lro", "rx-vlan-offload": "rxvlan"}[name]
            yield Finding("warning", link.name, why, f"ethtool -K {link.name} {short} off")
    if link.mtu > 3500:
        text = f"MTU {link.mtu}: native XDP needs a driver that supports multi-buffer frames"
        yield Finding("ok", link.name, text)


def _attached(link: Link, pin_dir: Path, shared: bool) -> Iterator[Finding]:
    if link.program_id is None:
        return
    try:
        fd = programs.open_by_id(link.program_id)
    except PermissionError:
        yield Finding(
            "warning", link.name, "an XDP program is attached", "run doctor as root to see whose"
        )
        return
    try:
        yield from _of_program(link, fd, pin_dir, shared)
    finally:
        os.close(fd)


def _of_program(link: Link, fd: int, pin_dir: Path, shared: bool) -> Iterator[Finding]:
    info = programs.info(fd)
    if not slots_ids(pin_dir).isdisjoint(info.map_ids):
        text = f"filtered by xdpctl, {link.xdp_mode} mode"
        if identity := behind.follower(info):
            with netlink.opened(identity) as theirs:
                text += f"; {behind.named(theirs)} of another tool runs behind it"
        yield Finding("ok", link.name, text)
        return
    text = f"another XDP program is attached: {info.name} (id {info.id})"
    if info.name in OURS:
        fix = f"another instance of xdpctl filters here: use that, or: xdpctl down -i {link.name}"
        yield Finding("problem", link.name, text, fix)
        return
    if shared:
        try:
            behind.kin_of(fd)
            text += "; it will run behind the filter, unless a BPF link holds it"
            yield Finding("ok", link.name, text)
        except AttachError as error:
            yield Finding("problem", link.name, text, str(error))
        return
    fix = f'interfaces = [{{name = "{link.name}", shared = true}}], or stop its owner'
    yield Finding("problem", link.name, f"{text}; xdpctl never replaces it", fix)
