# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet generator in the kernel: BPF_PROG_TEST_RUN of a program that sends from an interface.

Each run has limits of packets and of time. One core sends about two million packets a second.
"""

import os
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.programs import Kin
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.compiler import Compiled, Request, compile_source
from xdpctl.lab.namespaces import Host

_HEAD_BYTES = 80  # HEAD_MAX of bpf/lab/generator.c
_CHUNK = 32_768  # packets in a BPF_PROG_TEST_RUN, which takes about 15 ms
_MOST = 50_000_000  # packets that Generator.run() sends at most
_IPV4, _IPV6 = 0x0800, 0x86DD  # EtherTypes
_CHECKSUM = {6: 16, 17: 6}  # offset of the checksum in the TCP and the UDP header


@dataclass(slots=True)
class Sent:
    """The packets that a flood sent, and the seconds it took."""

    packets: int
    seconds: float


def compile_generator() -> Compiled:
    """Compile bpf/lab/generator.c: the programs that flood, walk, pass and drop."""
    programs = ("flood", "redirect", "walk", "bare_pass", "bare_drop")
    return compile_source(Request("lab/generator.c", programs, {}))


def _sum(data: bytes) -> int:
    """The checksum of words in native byte order, as the program adds them (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"={len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def syn_frame(to_mac: str, destination: str, port: int) -> bytes:
    """A TCP SYN whose source the generator fills in."""
    tcp = struct.pack(">HHIIBBHHH", 0, port, 1, 0, 5 << 4, 2, 65535, 0, 0)
    return _frame(to_mac, destination, 6, tcp)


def udp_frame(to_mac: str, destination: str, port: int, size: int = 18) -> bytes:
    """A UDP datagram of `size` payload bytes whose source the generator fills in."""
    return _frame(to_mac, destination, 17, struct.pack(">HHHH", 0, port, 8 + size, 0) + bytes(size))


def _frame(to_mac: str, destination: str, protocol: int, transport: bytes) -> bytes:
    mac = bytes.fromhex(to_mac.replace(":", ""))
    link = mac + bytes.fromhex("02000000aaaa")
    if ":" in destination:
        head = struct.pack(">HIHBB16x", _IPV6, 6 << 28, len(transport), protocol, 64)
        return link + head + socket.inet_pton(socket.AF_INET6, destination) + transport
    total = 20 + len(transport)
    head = struct.pack(">HBBHHHBBHI", _IPV4, 0x45, 0, total, 0, 0, 64, protocol, 0, 0)
    return link + head + socket.inet_aton(destination) + transport


def _is_ipv6(frame: bytes) -> bool:
    return frame[12:14] == _IPV6.to_bytes(2)


def _sums(frame: bytes) -> tuple[int, int, int]:
    """The sums of the IPv4 header and of the transport with pseudo-header, and the protocol."""
    if _is_ipv6(frame):
        protocol, destination, transport = frame[20], frame[38:54], frame[54:]
    else:
        protocol, destination, transport = frame[23], frame[30:34], frame[34:]
    pseudo = struct.pack(">HBBH", 0, 0, protocol, len(transport)) + destination
    return _sum(frame[14:34]), _sum(pseudo) + _sum(transport), protocol


class Generator:
    """Sends floods, or runs a program under test, with a list of source addresses."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.maps = {name: maps.create_map(name, s) for name, s in compiled.maps.items()}
        fds = {name: m.fd for name, m in self.maps.items()}

        def load(name: str, kin: Kin = Kin(), kind: int = programs.XDP) -> int:  # noqa: B008  # immutable
            return programs.load(name, compiled.programs[name].linked(fds), kin, kind)

        self.stop = threading.Event()
        self.flood_fd = load("flood", Kin(flags=0), programs.SCHED_CLS)
        self.redirect_fd, self.walk_fd = load("redirect"), load("walk")
        self.pass_fd, self.bare_fd = load("bare_pass"), load("bare_drop")
        # the values of an array are at least 8 bytes apart
        self._sources4 = np.frombuffer(self.maps["sources"].memory(), np.uint32)[::2]
        self._sources6 = np.frombuffer(self.maps["sources6"].memory(), np.uint32)

    def aim(self, frame: bytes, sources: Sequence[str] | bytes, ifindex: int = 0) -> None:
        """Set the frame and the sources (IPv4 texts, or concatenated packed addresses)."""
        packed = sources if isinstance(sources, bytes) else b"".join(map(socket.inet_aton, sources))
        words = np.frombuffer(packed, np.uint32)
        family, table = (6, self._sources6) if _is_ipv6(frame) else (4, self._sources4)
        table[: len(words)] = words
        count = len(packed) // (16 if family == 6 else 4)
        ip_sum, transport_sum, protocol = _sums(frame)
        offset = _CHECKSUM[protocol]
        numbers = ifindex, count, ip_sum, transport_sum, offset, family
        value = struct.pack(f"=6I{_HEAD_BYTES}s", *numbers, frame[:_HEAD_BYTES])
        self.maps["generators"].put(bytes(4), value)
        self.frame = frame

    def run(self, packets: int, per_second: int | None, seconds: float) -> Sent:
        """Send from the calling thread's namespace until a limit is reached or `stop` is set."""
        start, sent = time.monotonic(), 0
        while sent < min(packets, _MOST) and not self.stop.is_set():
            elapsed = time.monotonic() - start
            if elapsed >= seconds:
                break
            if per_second is not None and sent > per_second * elapsed:
                time.sleep(0.001)
                continue
            # a burst of more than a millisecond's fills the queues, and others lose packets
            most = per_second // 1000 + 1 if per_second else _CHUNK
            count = min(_CHUNK, packets - sent, most)
            self.send(count)
            sent += count
        return Sent(sent, time.monotonic() - start)

    def send(self, packets: int) -> None:
        """Send from the calling thread's namespace, as fast as one core can."""
        programs.run(self.flood_fd, self.frame, packets)

    def receive_answers(self, host: Host, name: str) -> None:
        """Let a veth end receive what XDP_TX sends back, for which it needs an XDP program, too."""

        def work() -> None:
            (link,) = (candidate for candidate in netlink.links() if candidate.name == name)
            netlink.attach(link, self.pass_fd, "native")

        host.call(work)

    def close(self) -> None:
        """Close the descriptors of the programs and maps."""
        fds = self.flood_fd, self.redirect_fd, self.walk_fd, self.pass_fd, self.bare_fd
        for fd in fds:
            os.close(fd)
        for bpf_map in self.maps.values():
            bpf_map.close()


def interface(host: Host, name: str) -> tuple[int, str]:
    """Index and MAC address of a host's interface."""
    index = host.call(lambda: socket.if_nametoindex(name))
    return index, host.ip(f"-br link show dev {name}").split()[2]
