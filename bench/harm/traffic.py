# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs, and frames of peers and attackers, for the scenarios."""

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from bench.detection.frames import Sender, frames
from bench.detection.live import Counters, Scene
from bench.detection.made import packets
from tests.lab.behind.people import PORT
from tests.lab.behind.places import SERVER
from xdpctl.abi.constants import KEPT_OUT
from xdpctl.traffic.packets import PacketArray

SINK = 8021  # where uploads go
PEER = 0xCB007109  # 203.0.113.9


def of(source: int | np.ndarray, count: int, **columns: object) -> PacketArray:
    """Packets from one source, or from several."""
    return packets(count, np.broadcast_to(np.asarray(source, "u4"), count).copy(), **columns)


def send(scene: Scene, to_send: PacketArray | list[bytes], rate: float, seconds: float) -> float:
    """Send packets in a loop; return the share that was kept out."""
    built = to_send if isinstance(to_send, list) else frames(to_send, scene.place.mac)
    with closing(Counters(scene.box)) as counters:
        before, sender = counters.read(*KEPT_OUT), Sender("far0", built, rate, seconds)
        scene.place.world.start(sender.run).result(seconds + 30)
        time.sleep(0.1)
        return (counters.read(*KEPT_OUT) - before) / max(sender.sent, 1)


@contextmanager
def silent_sink(scene: Scene) -> Iterator[list[int]]:
    """A server inside that accepts uploads and sends nothing; yields the bytes received."""
    received, listener = [0], scene.place.server.call(lambda: socket.create_server((SERVER, SINK)))

    def take() -> None:
        try:
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=drink, args=(peer,), daemon=True).start()
        except OSError:
            return  # it is closed

    def drink(peer: socket.socket) -> None:
        with peer:
            while data := peer.recv(1 << 20):
                received[0] += len(data)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def upload(scene: Scene, source: str, rate: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Curl uploads zeroes without an end, at a rate."""
    address = f"http://{SERVER}:{SINK}/"
    words = ("curl", "-sS", "--interface", source, "--limit-rate", rate, "-H", "Expect:")
    with Path("/dev/zero").open("rb") as zeroes:
        process = scene.place.world.popen(
            *(*words, "-T", "-", address), stdin=zeroes, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


_SERVICE = """
import socket, sys, threading
service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
service.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
service.bind((sys.argv[1], int(sys.argv[2])))
service.settimeout(0.1)
ended, answered = threading.Event(), 0
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("ready", flush=True)
while not ended.is_set():
    try:
        client = service.recvfrom(2048)[1]
    except TimeoutError:
        continue
    service.sendto(b"\\xc0\\0\\x80" + bytes(60), client)
    answered += 1
print(answered)
"""


@contextmanager
def udp_service(scene: Scene, port: int) -> Iterator[list[int]]:
    """A server inside that answers every request; the list gets the number of answers at the end.

    To DNS its answer is a response, and to QUIC a packet of the handshake.
    """
    words = ("/usr/bin/python3", "-c", _SERVICE, SERVER, str(port))
    pipe, answered = subprocess.PIPE, list[int]()
    with scene.place.server.popen(*words, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield answered
        time.sleep(0.2)
        answered.append(int(process.communicate()[0]))


def visit(scene: Scene, source: str) -> bool:
    """Whether curl gets a page over a new connection."""
    words = ("curl", "-s", "-o", "/dev/null", "-m", "2", "--interface", source)
    done = scene.place.world.popen(*words, f"http://{SERVER}:{PORT}/", stdin=subprocess.DEVNULL)
    return done.wait() == 0


def visits(scene: Scene, seconds: float) -> tuple[int, int]:
    """Send two visitors a second; return how many got a page, and how many there were."""
    served = visitors = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        served += visit(scene, f"203.0.113.{1 + visitors % 90}")
        visitors += 1
        time.sleep(max(0.0, began + 0.5 - time.monotonic()))
    return served, visitors


def answers(scene: Scene, port: int, seconds: float, beside: Callable[[], object]) -> float:
    """The share of the packets of one known UDP flow that arrive, at 100 a second."""
    inside = scene.place.server.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    outside = scene.place.world.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with inside, outside:
        inside.bind((SERVER, port))
        outside.bind(("203.0.113.9", port))
        inside.sendto(b"hello", ("203.0.113.9", port))  # the inside takes part
        inside.setblocking(False)
        time.sleep(0.3)
        worker = threading.Thread(target=beside)
        worker.start()
        sent = came = 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            outside.sendto(b"person" + struct.pack(">I", sent), (SERVER, port))
            sent += 1
            time.sleep(0.01)
            came += _people(inside)
        time.sleep(0.2)
        came += _people(inside)
        worker.join()
    return came / sent


def _people(inside: socket.socket) -> int:
    """The person's packets among those that wait."""
    count = 0
    while True:
        try:
            count += inside.recv(2_048).startswith(b"person")
        except BlockingIOError:
            return count
