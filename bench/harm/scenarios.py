# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenarios; each returns the share of people served, or of an attack that passes."""

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np

from bench.detection.live import Scene
from bench.harm.pupils import (
    asked_of_a_server_at_its_limit,
    asked_of_a_server_that_hangs,
    served_after_an_outage,
)
from bench.harm.traffic import (
    PEER,
    answers,
    of,
    send,
    silent_sink,
    udp_service,
    upload,
    visits,
)
from tests.lab.behind.people import PORT
from tests.lab.behind.places import CLIENTS, SERVER
from xdpctl.traffic.packets import PacketArray

_RANDOM = np.random.default_rng(11)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`old`: on a box that knows what is normal; else on one that is 30 s old.

    `people`: the share is of people, and more is better; else of an attack that passes.
    """

    name: str
    play: Callable[[Scene], float]
    people: bool = True
    old: bool = False


def uploaded(scene: Scene) -> float:
    """Curl uploads 10 MB/s to a server that sends no data."""
    with silent_sink(scene) as received, upload(scene, "203.0.113.77", "10M"):
        time.sleep(20.0)
        return min(1.0, received[0] / (20.0 * 10_000_000))


def visited_beside_upload(scene: Scene) -> float:
    """Visitors by curl, during such an upload and for 20 s after it."""
    with silent_sink(scene), upload(scene, "203.0.113.77", "10M"):
        served, visitors = visits(scene, 15.0)
    after, more = visits(scene, 20.0)
    return (served + after) / (visitors + more)


def tunnelled(scene: Scene) -> float:
    """ESP of one peer, 2,000 packets a second."""
    packets = of(PEER, 256, protocol=50, packet_length=_RANDOM.integers(100, 1_400, 256), ttl=52)
    return 1 - send(scene, packets, 2_000, 15.0)


def tunnelled_in_fragments(scene: Scene) -> float:
    """ESP of one peer in two fragments each, 600 datagrams a second."""
    first = of(PEER, 128, protocol=50, packet_length=1_500, ttl=52, fragment=4)
    later = of(PEER, 128, protocol=50, packet_length=120, ttl=52, fragment=10)
    packets = np.empty(256, first.dtype)
    packets[0::2], packets[1::2] = first, later
    return 1 - send(scene, packets, 1_200, 15.0)


def known_beside_forged(scene: Scene) -> float:
    """A known UDP flow, while 6,500 packets a second are forged in its peer's name."""
    forged = of(
        PEER,
        512,
        protocol=17,
        source_port=_RANDOM.integers(1_024, 65_536, 512),
        destination_port=_RANDOM.integers(1_024, 65_536, 512),
        packet_length=200,
        ttl=52,
    )
    return answers(scene, 20_777, 12.0, lambda: send(scene, forged, 6_500, 10.0))


def calm_after_a_flood(scene: Scene) -> float:
    """After a flood of 6 s, 20 people send packets of the same shape, 700 a second."""
    flood = of(
        _RANDOM.integers(0x08000000, 0x5F000000, 2_048),
        2_048,
        protocol=17,
        source_port=19,
        destination_port=_RANDOM.integers(1_024, 65_536, 2_048),
        packet_length=_RANDOM.integers(900, 1_100, 2_048),
        ttl=52,
    )
    people = of(
        0xCB007101 + np.arange(400, dtype="u4") % 20,
        400,
        protocol=17,
        source_port=19,
        destination_port=1_194,
        packet_length=1_000,
        ttl=52,
    )
    send(scene, flood, 25_000, 6.0)
    send(scene, people, 700, 60.0)
    return 1 - send(scene, people, 700, 15.0)


def errors_that_cite_a_flow(scene: Scene) -> float:
    """100,000 ICMP errors from a blocklisted source about an existing connection."""
    scene.box.client.call("POST", "/v1/rules", json={"match": {"source": "203.0.113.9"}})

    def connect() -> socket.socket:
        return socket.create_connection((SERVER, PORT), 5, ("203.0.113.88", 45_454))

    with scene.place.world.call(connect) as flow:
        flow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        flow.recv(4_096)
        cited = struct.pack(">BBHHHBBH", 0x45, 0, 60, 1, 0, 64, 6, 0)
        cited += socket.inet_aton(SERVER) + socket.inet_aton("203.0.113.88")
        cited += struct.pack(">HHI", PORT, 45_454, 1)
        error = struct.pack(">BBHHH", 3, 4, 0, 0, 1_400) + cited
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(error), 1, 0, 64, 1, 0)
        head += socket.inet_aton("203.0.113.9") + socket.inet_aton(SERVER)
        frame = bytes.fromhex(scene.place.mac.replace(":", "")) + b"\2\0\0\0\0\2\x08\0"
        return 1 - send(scene, [frame + head + error], 10_000, 10.0)


def flood_in_a_known_flow(scene: Scene) -> float:
    """40,000 packets a second in one known UDP flow, by its real client."""
    packets = of(
        PEER,
        64,
        protocol=17,
        source_port=20_778,
        destination_port=20_778,
        packet_length=300,
        ttl=52,
    )
    passed: list[float] = []
    answers(scene, 20_778, 12.0, lambda: passed.append(1 - send(scene, packets, 40_000, 10.0)))
    return passed[0]


def _questions(port: int, length: int) -> PacketArray:
    """Requests to a UDP service, each from its own port."""
    clients = np.array([int(ip_address(address)) for address in CLIENTS], "u4")
    return of(
        _RANDOM.choice(clients, 2_048),
        2_048,
        protocol=17,
        source_port=_RANDOM.integers(20_000, 60_000, 2_048),
        destination_port=port,
        packet_length=length,
        ttl=52,
    )


def _answered(scene: Scene, port: int, length: int, rate: float) -> float:
    """The share of such questions that a service answers."""
    with udp_service(scene, port) as answered:
        send(scene, _questions(port, length), rate, 8.0)
    return min(1.0, answered[0] / (rate * 8.0))


def dns_answered(scene: Scene) -> float:
    """4,000 queries a second."""
    return _answered(scene, 53, 70, 4_000)


def http3_answered(scene: Scene) -> float:
    """6,000 Initials a second."""
    return _answered(scene, 443, 1_280, 6_000)


def game_answered(scene: Scene) -> float:
    """8,000 packets a second."""
    return _answered(scene, 27_015, 120, 8_000)


def dns_unanswered(scene: Scene) -> float:
    """25,000 queries a second to a server that answers none."""
    return 1 - send(scene, _questions(53, 70), 25_000, 8.0)


def second_reflection(scene: Scene) -> float:
    """4,276 reflectors of SNMP, after 49 of DNS against the same victim."""

    def reflected(first: int, sources: int, port: int, length: int) -> object:
        return of(
            _RANDOM.integers(first, first + sources, 2_048),
            2_048,
            protocol=17,
            source_port=port,
            destination_port=_RANDOM.integers(1_024, 65_536, 2_048),
            packet_length=length,
            ttl=52,
        )

    send(scene, reflected(0x08080000, 49, 53, 1_400), 20_000, 4.0)  # type: ignore[arg-type]
    return 1 - send(scene, reflected(0x09090000, 4_276, 161, 300), 20_000, 6.0)  # type: ignore[arg-type]


def opened_by_forged_acks(scene: Scene) -> float:
    """2,500 forged SYNs a second, each followed by a forged ACK."""
    source = _RANDOM.integers(0x08000000, 0x5F000000, 1_024)
    packets = of(
        np.repeat(source, 2),
        2_048,
        protocol=6,
        destination_port=PORT,
        source_port=np.repeat(_RANDOM.integers(1_024, 65_536, 1_024), 2),
        packet_length=60,
        ttl=52,
        tcp_flags=np.tile([2, 16], 1_024),
    )
    return 2 * max(0.0, 0.5 - send(scene, packets, 5_000, 8.0))


def unix_socket_beside_logins(scene: Scene) -> float:
    """Answers within 50 ms on the Unix socket, while 512 connections ask for /login."""
    scene.box.stop()
    scene.box.port = 8_460
    scene.box.start()
    stop, box = threading.Event(), scene.place.box

    def knock() -> None:
        box.enter()
        script = (
            "import asyncio\n"
            "async def one():\n"
            "    while True:\n"
            "        try:\n"
            "            r, w = await asyncio.open_connection('127.0.0.1', 8460)\n"
            "            while True:\n"
            "                w.write(b'GET /login HTTP/1.1\\r\\nhost: localhost\\r\\n\\r\\n')\n"
            "                if not await r.read(65536): break\n"
            "        except OSError: await asyncio.sleep(0.01)\n"
            "async def all(): await asyncio.gather(*(one() for _ in range(512)))\n"
            "asyncio.run(all())\n"
        )
        with subprocess.Popen(["/usr/bin/python3", "-c", script]) as process:
            stop.wait(60)
            process.kill()

    knocking = threading.Thread(target=knock)
    knocking.start()
    time.sleep(2.0)
    quick = []
    for _ in range(100):
        began = time.monotonic()
        scene.box.client.call("GET", "/v1/status")
        quick.append(time.monotonic() - began <= 0.05)
        time.sleep(0.05)
    stop.set()
    knocking.join()
    return sum(quick) / len(quick)


SCENARIOS = (
    Scenario("an upload of 10 MB/s to a silent server: bytes that arrive", uploaded),
    Scenario("visitors during such an upload, and for 20 s after it", visited_beside_upload),
    Scenario("the same upload on an old box", uploaded, old=True),
    Scenario("ESP of one peer, 2,000 packets/s", tunnelled),
    Scenario("ESP of one peer, 2,000 packets/s, on an old box", tunnelled, old=True),
    Scenario("ESP in fragments, 600 datagrams/s", tunnelled_in_fragments),
    Scenario(
        "a known flow, while 6,500 packets/s are forged in its peer's name",
        known_beside_forged,
        old=True,
    ),
    Scenario("a DNS server met for the first time, 4,000 queries/s", dns_answered),
    Scenario("HTTP/3 met for the first time, 6,000 Initials/s", http3_answered),
    Scenario("a game on 27015 met for the first time, 8,000/s", game_answered),
    *(
        Scenario(f"{name}{box}", play, old=bool(box))
        for box in ("", ", on an old box")
        for name, play in (
            (
                "600 pupils ask a server at its limit: packets let in",
                asked_of_a_server_at_its_limit,
            ),
            ("600 pupils ask a server that hangs: packets let in", asked_of_a_server_that_hangs),
            ("600 pupils after an outage of 20 s: pages in time", served_after_an_outage),
        )
    ),
    Scenario("people like the flood, a minute after a flood of 6 s", calm_after_a_flood),
    Scenario(
        "answers within 50 ms on the Unix socket beside 512 strangers at /login",
        unix_socket_beside_logins,
    ),
    Scenario(
        "100,000 ICMP errors of a blocklisted source that cite a flow",
        errors_that_cite_a_flow,
        people=False,
    ),
    Scenario("40,000 packets/s in one known flow", flood_in_a_known_flow, people=False, old=True),
    Scenario(
        "a reflection of 4,276 sources after one of 49", second_reflection, people=False, old=True
    ),
    Scenario("25,000 DNS queries/s to a server that is down", dns_unanswered, people=False),
    Scenario("2,500 SYN/s with as many forged ACKs", opened_by_forged_acks, people=False, old=True),
)
