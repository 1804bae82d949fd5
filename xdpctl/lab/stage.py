# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's lab: attacker, client and server, an HTTP service, measurements, and its output."""

import subprocess
import time
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.system.children import python
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, Sent, compile_generator, interface, syn_frame
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.sniffer import Sniffer
from xdpctl.lab.webserver import Visitor


@dataclass(slots=True)
class Timeline:
    """Prints lines with the time since the start, and collects the checks that failed."""

    started: float = field(default_factory=time.monotonic)
    failed: list[str] = field(default_factory=list)

    def tell(self, text: str, style: str = "") -> None:
        """Print a line with the seconds since the start."""
        at = f"[dim]{time.monotonic() - self.started:6.1f} s[/dim]"
        out.print(f"{at}  {f'[{style}]{text}[/{style}]' if style else text}", soft_wrap=True)

    def claim(self, holds: bool, text: str) -> None:
        """Print whether a check passed; a failed one is added to `failed`."""
        mark = "[green]passed[/green] " if holds else "[red]FAILED[/red] "
        self.tell(f"  {mark} {text}")
        if not holds:
            self.failed.append(text)


ATTACKER_NET = "203.0.113.0/24"
# without SYN cookies, even a small flood fills the listener's queue
_SYN_QUEUE = {"tcp_syncookies": 0, "tcp_max_syn_backlog": 256, "tcp_synack_retries": 0}
SERVER4, SERVER6 = "192.0.2.1", "2001:db8:2::1"
out = Console(highlight=False)


@dataclass(slots=True)
class Stage:
    """The hosts, the box under test, the HTTP client, and the packet counter."""

    line: Timeline
    attacker: Host
    server: Host
    box: Box
    visitor: Visitor
    stack: Sniffer
    generator: Generator
    flood: "Future[Sent] | None" = None


def remains(stage: Stage) -> list[str]:
    """Namespaces, processes, mounts and files of the demo that still exist."""
    hosts = [host.name for host in (stage.attacker, stage.server) if host.path.exists()]
    directory = str(stage.box.directory)
    mounts = [m for m in Path("/proc/self/mounts").read_text().split() if m.startswith(directory)]
    files = [directory] if stage.box.directory.exists() else []
    return hosts + mounts + files + [f"process {pid}" for pid in stage.box.processes()]


def build(line: Timeline, cleanup: ExitStack) -> Stage:
    """Build the hosts, the service and the box; `cleanup` removes them."""
    line.tell(
        "building: attacker, client and server, each in a namespace; a real HTTP service", "bold"
    )
    lab = cleanup.enter_context(Lab("demo"))
    attacker, client, server = lab.host("attacker"), lab.host("client"), lab.host("server")
    lab.cable(attacker, "wire0", server, "isp0")
    lab.cable(client, "wire0", server, "isp1")
    for host, name, addresses in (
        (attacker, "wire0", ("192.0.2.66/25", "2001:db8:66::2/64")),
        (server, "isp0", (f"{SERVER4}/25", "2001:db8:66::1/64")),
        (client, "wire0", ("192.0.2.130/25", "2001:db8:2::2/64")),
        (server, "isp1", ("192.0.2.129/25", f"{SERVER6}/64")),
    ):
        for address in addresses:
            host.ip(f"addr add {address} dev {name}")
    client.ip(f"route add {SERVER4} via 192.0.2.129")
    server.ip("route add 203.0.113.0/24 via 192.0.2.66")
    for name, value in _SYN_QUEUE.items():
        server.sysctl(f"net.ipv4.{name}", value)
    service = server.popen(*python("xdpctl.lab.webserver"), stderr=subprocess.DEVNULL)
    cleanup.callback(_end, service)
    generator = Generator(compile_generator())
    cleanup.callback(generator.close)
    cleanup.callback(generator.stop.set)
    for host in (attacker, client):
        generator.receive_answers(host, "wire0")
    box = Box(server, ["isp0", "isp1"])
    box.detects = True
    cleanup.callback(box.remove)
    line.tell(f"xdpctl run -i isp0 -i isp1: ready after {box.start():.1f} s")
    visitor = Visitor(client, [SERVER4, SERVER6])
    cleanup.callback(visitor.stop)
    stack = cleanup.enter_context(Sniffer(server, "isp0", parse_prefix(ATTACKER_NET)))
    return Stage(line, attacker, server, box, visitor, stack, generator)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def aim(stage: Stage, generator: Generator, sources: list[str]) -> None:
    """Let the generator send SYNs to the server's port 80 from these sources."""
    index, _ = interface(stage.attacker, "wire0")
    _, mac = interface(stage.server, "isp0")
    generator.aim(syn_frame(mac, SERVER4, 80), sources, index)
