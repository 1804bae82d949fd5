# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows of a payload in a match: `@0 ffffffff54`, `@0 00c0/00f0 & @8 0102`.

A window is at an offset in what TCP or UDP carries, and has a value; with a mask, only the bits of
the mask are compared. A packet must have all bytes of which a bit is compared.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from xdpctl.abi.sizes import PAYLOAD_BYTES, PAYLOAD_WINDOWS, WINDOW_BYTES
from xdpctl.errors import RuleError


class Window(NamedTuple):
    """Bytes from an offset on, as long as the mask; no bit of the value is outside the mask."""

    at: int
    value: bytes
    mask: bytes

    @property
    def end(self) -> int:
        """The number of payload bytes that a packet needs to have this window."""
        return self.at + len(self.value)


Payload = tuple[Window, ...]  # all of them must be there; sorted, and as few as possible
_FORM = re.compile(r"@([0-9]{1,3})\s+([0-9a-f]+)(?:/([0-9a-f]+))?", re.ASCII)
_FIX = "write an offset and bytes: @0 ffffffff54, or with a mask @0 c0/f0; join two by &"
_WHOLE = 0xFF
MAGIC_BYTES = 4  # by so many first bytes a payload shows its protocol


def parse(text: str, where: str) -> Payload:
    """The windows in a text; RuleError if it is not valid, or if no payload can have them all."""
    compared: dict[int, tuple[int, int]] = {}
    for part in text.lower().split("&"):
        for at, byte in _window(part.strip(), where).items():
            value, mask = byte
            before, others = compared.get(at, (0, 0))
            if (value ^ before) & mask & others:
                fix = "give each byte one value"
                raise RuleError(f"byte {at} of the payload has two values", where, fix)
            compared[at] = value | before, mask | others
    return _joined(compared, where)


def _window(part: str, where: str) -> dict[int, tuple[int, int]]:
    """The bytes of one window that are compared, by their offset: value and mask."""
    form = _FORM.fullmatch(part)
    if not form:
        raise RuleError(f"{part[:60]!r} is not a window of a payload", where, _FIX)
    at, value, mask = int(form[1]), _bytes(form[2], where), b""
    mask = _bytes(form[3], where) if form[3] else bytes([_WHOLE]) * len(value)
    if len(mask) != len(value):
        fix = "write a mask as long as the value"
        raise RuleError(f"the mask {form[3][:60]!r} has {len(mask)} bytes", where, fix)
    if len(value) > WINDOW_BYTES:
        fix = f"write at most {WINDOW_BYTES} bytes, or two windows"
        raise RuleError(f"the window @{at} has {len(value)} bytes", where, fix)
    if at + len(value) > PAYLOAD_BYTES:
        fix = f"use the first {PAYLOAD_BYTES} bytes of the payload"
        raise RuleError(f"the window @{at} ends at byte {at + len(value)}", where, fix)
    for place, byte in enumerate(value):
        if byte & ~mask[place]:
            fix = "set them to 0, or compare them: set their bits in the mask"
            raise RuleError(f"byte {at + place} has bits outside the mask", where, fix)
    return {at + n: pair for n, pair in enumerate(zip(value, mask, strict=True)) if pair[1]}


def _bytes(digits: str, where: str) -> bytes:
    if len(digits) % 2:
        fix = "write two hexadecimal digits for each byte"
        raise RuleError(f"{digits[:60]!r} has half a byte", where, fix)
    return bytes.fromhex(digits)


def _joined(compared: Mapping[int, tuple[int, int]], where: str) -> Payload:
    """As few windows as possible with these bytes."""
    if not compared:
        raise RuleError("the payload compares no bit", where, "set a bit in a mask")
    windows, left = list[Window](), sorted(compared)
    while left:
        first = left[0]
        here = [at for at in left if at < first + WINDOW_BYTES]
        bytes_of = [compared.get(at, (0, 0)) for at in range(first, here[-1] + 1)]
        windows.append(Window(first, *map(bytes, zip(*bytes_of, strict=True))))
        left = left[len(here) :]
    if len(windows) > PAYLOAD_WINDOWS:
        fix = f"compare at most {PAYLOAD_WINDOWS} windows of {WINDOW_BYTES} bytes"
        raise RuleError(f"the payload has {len(windows)} windows", where, fix)
    return tuple(windows)


def start(data: bytes) -> Payload:
    """The payloads that begin with some bytes, at most WINDOW_BYTES."""
    return (Window(0, data, bytes([_WHOLE]) * len(data)),)


def show(payload: Payload) -> str:
    """The shortest text from which parse() makes these windows."""
    return " & ".join(map(_shown, payload))


def _shown(window: Window) -> str:
    whole = all(mask == _WHOLE for mask in window.mask)
    return f"@{window.at} {window.value.hex()}" + ("" if whole else f"/{window.mask.hex()}")


def holds(payload: Payload, data: bytes) -> bool:
    """Whether a packet's payload, or its first bytes, has all windows."""
    return all(_has(window, data) for window in payload)


def _has(window: Window, data: bytes) -> bool:
    found = data[window.at : window.end]
    masked = bytes(byte & mask for byte, mask in zip(found, window.mask, strict=False))
    return len(found) == len(window.mask) and masked == window.value


def meet(payload: Payload, other: Payload) -> bool:
    """Whether one packet can have the windows of both."""
    seen = {at: pair for window in payload for at, pair in _by_offset(window)}
    for window in other:
        for at, (value, mask) in _by_offset(window):
            before, others = seen.get(at, (0, 0))
            if (value ^ before) & mask & others:
                return False
    return True


def within(payload: Payload, other: Payload) -> bool:
    """Whether each packet with the windows of the first has those of the other."""
    seen = {at: pair for window in payload for at, pair in _by_offset(window)}
    return all(
        (value ^ seen.get(at, (0, 0))[0]) & mask == 0 and mask & ~seen.get(at, (0, 0))[1] == 0
        for window in other
        for at, (value, mask) in _by_offset(window)
    )


def _by_offset(window: Window) -> list[tuple[int, tuple[int, int]]]:
    return list(enumerate(zip(window.value, window.mask, strict=True), window.at))
