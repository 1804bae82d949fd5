# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads from a detector that writes to standard input; each line is passed on as it arrives."""

import os
import select
from collections.abc import Callable

_LINE_MAX = 1 << 20
_CHUNK = 1 << 16
_LOOK_MILLISECONDS = 500


def follow(descriptor: int, give: Callable[[bytes], bool], ended: Callable[[], bool]) -> None:
    """Pass each line on to `give(body)`, until the writer closes the descriptor.

    Ends also when `give` returns False or `ended()` returns True. A line of more than 1 MiB is
    passed on in parts, which the receiver refuses.
    """
    buffer, lines = bytearray(), list[bytes]()
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    while not ended():
        if not waiting.poll(_LOOK_MILLISECONDS):
            continue
        chunk = os.read(descriptor, _CHUNK)
        lines = []
        buffer += chunk
        if b"\n" in chunk or not chunk or len(buffer) > _LINE_MAX:
            *lines, rest = bytes(buffer).split(b"\n")
            buffer = bytearray(rest)
        if not chunk or len(buffer) > _LINE_MAX:
            lines, buffer = [*lines, bytes(buffer)], bytearray()
        for line in lines:
            if line.strip() and not give(line):
                return
        if not chunk:
            return
