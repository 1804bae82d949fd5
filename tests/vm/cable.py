# SPDX-License-Identifier: GPL-2.0-or-later
"""The far end of a virtual machine's network card; it uses no network of the host."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

MAC = "52:54:00:12:34:56"
_TICK_SECONDS, _BURST = 0.02, 40
_ANSWER_SECONDS = 30.0


def frame(source: str, destination: str, to: str = MAC, size: int = 40) -> bytes:
    """A UDP frame from a station that needs no ARP."""
    udp = struct.pack(">HHHH", 4000, 4001, 8 + size, 0) + bytes(size)
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(udp), 1 << 16, 64, 17, 0) + addresses
    total = sum(struct.unpack(">10H", head))
    check = ~((total >> 16) + (total & 0xFFFF)) & 0xFFFF
    head = head[:10] + struct.pack(">H", check) + head[12:]
    return bytes.fromhex(to.replace(":", "")) + b"\x02\0\0\0\0\x01\x08\0" + head + udp


HOSTILE, FRIEND, SERVER = tuple(f"203.0.113.{n}" for n in range(1, 50)), "192.0.2.9", "198.51.100.7"
FRAMES = [frame(source, SERVER) for source in (*HOSTILE, FRIEND)]


class Cable:
    """Two sockets that stand for a cable: QEMU's `dgram` network on one end, this on the other."""

    def __init__(self, place: Path, name: str) -> None:
        self.name = name
        self._theirs, ours = str(place / f"{name}.qemu"), str(place / f"{name}.here")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(ours)
        self._socket.settimeout(_TICK_SECONDS)
        self.netdev = (
            f"dgram,id={name},local.type=unix,local.path={self._theirs},"
            f"remote.type=unix,remote.path={ours}"
        )

    def send(self, data: bytes) -> bool:
        """Send a frame; return False if nobody is at the other end, or it is too slow."""
        try:
            self._socket.sendto(data, self._theirs)
        except (TimeoutError, FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def receive(self) -> bytes | None:
        """The next frame, or None if none comes soon."""
        try:
            return self._socket.recv(1 << 16)
        except TimeoutError:
            return None

    def close(self) -> None:
        self._socket.close()


class Flood:
    """The same frames over and over, `_BURST` of them every `_TICK_SECONDS`, until it ends."""

    def __init__(self, cable: Cable, frames: Sequence[bytes]) -> None:
        self.sent = 0
        self._ended = threading.Event()
        threads = (self._send, cable, frames), (self._drain, cable)
        self._threads = [threading.Thread(target=t[0], args=t[1:]) for t in threads]

    def _send(self, cable: Cable, frames: Sequence[bytes]) -> None:
        number = 0
        while not self._ended.wait(_TICK_SECONDS):
            for _ in range(_BURST):
                self.sent += cable.send(frames[number % len(frames)])
                number += 1

    def _drain(self, cable: Cable) -> None:
        while not self._ended.is_set():
            cable.receive()

    def __enter__(self) -> "Flood":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def on_request(cable: Cable) -> Iterator[Callable[[str], None]]:
    """The actions of an owner: start a flood at the word `flood`, and end it at the next word."""
    with ExitStack() as floods:

        def do(word: str) -> None:
            if word == "flood":
                floods.enter_context(Flood(cable, FRAMES))
            else:
                floods.close()

        yield do


class Monitor:
    """QEMU's own control socket (QMP)."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_ANSWER_SECONDS)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("r")
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> Any:
        said = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(said).encode() + b"\n")
        return self._until(lambda answer: "return" in answer or "error" in answer)

    def wait(self, event: str) -> None:
        self._until(lambda answer: answer.get("event") == event)

    def _until(self, wanted: Any) -> Any:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            answer = json.loads(self._file.readline())
            if wanted(answer):
                if "error" in answer:
                    raise OSError(f"QEMU: {answer['error']['desc']}")
                return answer
        raise OSError("QEMU does not answer")

    def close(self) -> None:
        self._file.close()
        self._socket.close()
