# SPDX-License-Identifier: GPL-2.0-or-later
"""nft for comparison: its sets at a netdev ingress hook, and libnftables in process."""

import ctypes
import tempfile
import time

from bench.errors import BenchError
from xdpctl.lab.namespaces import Host


def load(host: Host, device: str, elements: list[str], interval: bool) -> float:
    """Load a new set with `nft -f`, whose packets are dropped on `device`; the seconds."""
    flags = "flags interval; auto-merge;" if interval else f"size {2 * len(elements)};"
    listing = ",\n".join(elements)
    hook = f'type filter hook ingress device "{device}" priority 0; ip saddr @listed drop;'
    script = (
        f"table netdev {device}\ndelete table netdev {device}\ntable netdev {device} {{\n"
        f" set listed {{ type ipv4_addr; {flags}\n elements = {{ {listing} }} }}\n"
        f" chain entry {{ {hook} }}\n}}\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".nft") as file:
        file.write(script)
        file.flush()
        start = time.perf_counter()
        host.sh("nft", "-f", file.name)
        return time.perf_counter() - start


def clear(host: Host, device: str) -> None:
    """Remove the set and its hook."""
    host.sh("nft", "delete", "table", "netdev", device)


def add(host: Host, device: str, elements: list[str]) -> list[float]:
    """Add each element to the device's set, in process as a controller would; milliseconds."""

    def inside() -> list[float]:
        library = ctypes.CDLL("libnftables.so.1")
        library.nft_ctx_new.restype = ctypes.c_void_p
        context = ctypes.c_void_p(library.nft_ctx_new(0))
        milliseconds = []
        for element in elements:
            command = f"add element netdev {device} listed {{ {element} }}".encode()
            start = time.perf_counter()
            if library.nft_run_cmd_from_buffer(context, command):
                raise BenchError(f"nft rejected a command: {command.decode()}")
            milliseconds.append((time.perf_counter() - start) * 1e3)
        library.nft_ctx_free(context)
        return milliseconds

    return host.call(inside)
