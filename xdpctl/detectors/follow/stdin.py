# SPDX-License-Identifier: GPL-2.0-or-later
"""A detector that writes to our standard input: each line is handed on as it comes."""

import os
import select
from collections.abc import Callable

_LINE_MAX = 1 << 20
_CHUNK = 1 << 16
_LOOK_MILLISECONDS = 500


def follow(descriptor: int, give: Callable[[bytes], bool], ended: Callable[[], bool]) -> None:
    """Until the writer closes it, or `give(body)` or `ended()` says that we are to end.

    A line of more than 1 MiB is given as it is, in parts, and refused there.
    """
    held, lines = bytearray(), list[bytes]()
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    while not ended():
        if not waiting.poll(_LOOK_MILLISECONDS):
            continue
        chunk = os.read(descriptor, _CHUNK)
        lines = []
        held += chunk
        if b"\n" in chunk or not chunk or len(held) > _LINE_MAX:
            *lines, rest = bytes(held).split(b"\n")
            held = bytearray(rest)
        if not chunk or len(held) > _LINE_MAX:
            lines, held = [*lines, bytes(held)], bytearray()
        for line in lines:
            if line.strip() and not give(line):
                return
        if not chunk:
            return
