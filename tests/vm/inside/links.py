# SPDX-License-Identifier: GPL-2.0-or-later
"""Every kind of interface, with a real `xdpctl run`; the machine's only program.

The box is this machine; the far ends are in a network namespace. The cards are real to the kernel:
QEMU emulates them, and connects each with a card of the far end. For each interface it reports a
word for each check.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.vm.inside import shared
from tests.vm.inside.cards import CARDS, Card, changes, find_cards
from tests.vm.inside.kinds import Kind, make_kinds
from tests.vm.inside.machine import call, port, sh, tell, until
from xdpctl.lab.namespaces import Host

_SETTINGS = """
interfaces = [{interfaces}]
user = "nobody"
group = "nogroup"
[listen]
port = 0
[detect]
mode = "off"
"""
_TCP, _UDP = 8080, 4000
_TRY_SECONDS, _SYN_SECONDS = 2.0, 12.0
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Ends:
    """An interface, with the addresses of the box and of the far end by family."""

    name: str
    box: dict[int, str]
    far: dict[int, str]


def serve() -> None:
    """Take connections, and answer datagrams, on all addresses."""
    listener = socket.create_server(("::", _TCP), family=socket.AF_INET6, dualstack_ipv6=True)
    echo = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    echo.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    echo.bind(("::", _UDP))

    def accept() -> None:
        while True:
            listener.accept()[0].close()

    def answer() -> None:
        while True:
            data, sender = echo.recvfrom(65536)
            with suppress(OSError):
                echo.sendto(data, sender)

    for work in (accept, answer):
        threading.Thread(target=work, daemon=True).start()


def connects(far: Host, to: str, seconds: float = _TRY_SECONDS) -> bool:
    def work() -> bool:
        try:
            socket.create_connection((to, _TCP), seconds).close()
        except OSError:
            return False
        return True

    return far.call(work)


def echoes(far: Host, to: str, size: int = 100) -> bool:
    def work() -> bool:
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as asking:
            asking.settimeout(_TRY_SECONDS)
            try:
                asking.sendto(bytes(size), (to, _UDP))
                return len(asking.recv(65536)) == size
            except OSError:
                return False

    return far.call(work)


def send(far: Host, to: str, packets: int) -> None:
    """Send datagrams that nobody answers."""

    def work() -> None:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sending:
            for _ in range(packets):
                sending.sendto(bytes(64), (to, _UDP + 1))
                time.sleep(0.002)

    far.call(work)


def with_rule(rule: Mapping[str, object], check: Callable[[], bool]) -> tuple[bool, int]:
    """A check while a rule is in force, and the packets that the rule has hit."""
    status, made = call("POST", "/v1/rules", {"force": True, "ttl": "1h", **rule})
    if status != 201:
        raise RuntimeError(f"{rule}: {made}")
    held = check()
    found = call("GET", f"/v1/rules/{made['id']}")[1]
    call("DELETE", f"/v1/rules/{made['id']}?force=true")
    return held, int(found.get("packets", 0))


def word(right: bool) -> str:
    return "yes" if right else "NO"


def checked(far: Host, ends: Ends) -> Iterator[tuple[str, str]]:
    """Each check of an interface, with what came out."""
    yield "mode", port(ends.name)
    for family in ends.box:
        yield from checked_family(far, ends, family)


def checked_family(far: Host, ends: Ends, family: int) -> Iterator[tuple[str, str]]:
    box, them = ends.box[family], ends.far[family]
    passes = connects(far, box) and echoes(far, box)
    yield f"IPv{family} passes", word(passes)
    held, hits = with_rule(
        {"match": f"src {them}", "action": "drop"},
        lambda: not connects(far, box) and not echoes(far, box),
    )
    yield f"a rule on its IPv{family} source drops", word(held and hits > 0)
    held, hits = with_rule(
        {"match": f"dst {box} udp dst-port {_UDP}", "action": "drop"},
        lambda: connects(far, box) and not echoes(far, box),
    )
    yield f"a match on an IPv{family} port drops", word(held and hits > 0)
    held, hits = with_rule(
        {"match": f"dst {box} dst-port {_TCP} tcp flags syn&!ack&!rst", "action": "challenge"},
        lambda: connects(far, box, _SYN_SECONDS),
    )
    yield f"an IPv{family} client gets in under a challenge", word(held and hits > 0)


def still_drops(far: Host, ends: Ends, size: int) -> str:
    """Whether a rule drops after a change of the card, and in which mode."""
    until(lambda: port(ends.name).startswith("attached"))
    if not any(echoes(far, ends.box[4], size) for _ in range(_TRIES)):
        return f"such frames are lost, {port(ends.name).split()[-1]}"
    for _ in range(2):  # a driver that gives the filter no packets is noticed by these
        send(far, ends.box[4], 150)
        time.sleep(3)
    rule = {"match": f"src {ends.far[4]}", "action": "drop"}
    held, hits = with_rule(rule, lambda: not echoes(far, ends.box[4], size))
    return f"{word(held and hits > 0)}, {port(ends.name).split()[-1]}"


def of_cards(far: Host) -> Iterator[tuple[Card, Ends]]:
    for number, card in enumerate(find_cards(far), 1):
        box = {4: f"10.{number}.0.1", 6: f"fd00:{number}::1"}
        them = {4: f"10.{number}.0.2", 6: f"fd00:{number}::2"}
        address(card.name, box, None)
        address(card.far, them, far)
        yield card, Ends(card.name, box, them)


def address(name: str, addresses: dict[int, str], host: Host | None) -> None:
    run = host.ip if host else lambda line: sh("ip", *line.split())
    for family, one in addresses.items():
        more = "/24" if family == 4 else "/64 nodad"
        run(f"addr add {one}{more} dev {name}")


def of_kinds(far: Host) -> Iterator[tuple[Kind, Ends]]:
    for number, kind in enumerate(make_kinds(far), 100):
        box = {f: one for f, one in ((4, f"10.{number}.0.1"), (6, f"fd00:{number}::1"))}
        them = {f: one for f, one in ((4, f"10.{number}.0.2"), (6, f"fd00:{number}::2"))}
        box = {family: box[family] for family in kind.families}
        address(kind.over or kind.name, box, None)
        address(kind.far, {family: them[family] for family in kind.families}, far)
        yield kind, Ends(kind.name, box, them)


def report(name: str, results: dict[str, str]) -> None:
    tell(name.replace(" ", "_"), json.dumps({"name": name, **results}))


def main() -> int:
    serve()
    sh("ip", "netns", "add", "far")
    far = Host("far")
    far.ip("link set lo up")
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    cards = [(card, ends) for card, ends in of_cards(far) if only in CARDS[card.name]]
    kinds = [(kind, ends) for kind, ends in of_kinds(far) if only in kind.description]
    names = [ends.name for _, ends in (*cards, *kinds)]
    quoted = ", ".join([*(f'"{n}"' for n in names), f'{{name = "{shared.NAME}", shared = true}}'])
    Path("/tmp/xdpctl.toml").write_text(_SETTINGS.format(interfaces=quoted))
    command = [sys.executable, "-m", "xdpctl", "run", "--config", "/tmp/xdpctl.toml"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as running:
        try:
            until(lambda: all(port(name).startswith("attached") for name in names))
            for kind, ends in kinds:
                report(kind.description, dict(checked(far, ends)))
            for card, ends in cards:
                results = dict(checked(far, ends))
                for change in changes(card, far):
                    results[change.name] = still_drops(far, ends, change.size)
                    change.undo()
                report(f"{CARDS[card.name]} ({card.driver})", results)
            if only in shared.TITLE:
                checks = {name: word(right) for name, right in shared.checks(far).items()}
                report(shared.TITLE, checks)
        finally:
            running.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
