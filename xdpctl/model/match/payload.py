# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows of a payload in a match: `@0 ffffffff54`, `@0 00c0/00f0 & @8 0102`, `!@4 0001`.

A window is at an offset in what TCP or UDP carries, and has a value; with a mask, only the bits of
the mask are compared. A packet must have all bytes of which a bit is compared; behind `!` one of
these bits must differ.
"""

import re
from typing import NamedTuple

from xdpctl.abi.sizes import PAYLOAD_BYTES, PAYLOAD_WINDOWS, WINDOW_BYTES
from xdpctl.errors import RuleError


class Window(NamedTuple):
    """Bytes from an offset on, as long as the mask; no bit of the value is outside the mask.

    `differs`: a packet has other bits there.
    """

    at: int
    value: bytes
    mask: bytes
    differs: bool = False

    @property
    def end(self) -> int:
        """The number of payload bytes that a packet needs to have this window."""
        return self.at + len(self.value)


# All of them must be there. They are sorted, and as few as possible; those that differ come last.
Payload = tuple[Window, ...]
_Bits = dict[int, tuple[int, int]]  # by offset, the value and the mask of a byte
_FORM = re.compile(r"@([0-9]{1,3})\s+([0-9a-f]+)(?:/([0-9a-f]+))?", re.ASCII)
_FIX = (
    "write an offset and bytes: @0 ffffffff54, or with a mask @0 c0/f0, or with ! for not; "
    "join two by &"
)
_NOT = "!"
_WHOLE = 0xFF
MAGIC_BYTES = 4  # by so many first bytes a payload shows its protocol


def parse(text: str, where: str) -> Payload:
    """The windows in a text; RuleError if it is not valid, or if two of them contradict."""
    compared: _Bits = {}
    differing = set[Window]()
    for part in map(str.strip, text.lower().split("&")):
        bits_of = _window(part.removeprefix(_NOT).lstrip(), where)
        if part.startswith(_NOT) and not _is_one_bit(bits_of):
            differing.add(_between(bits_of, *_ends(bits_of, where))._replace(differs=True))
            continue
        for at, byte in bits_of.items():
            if part.startswith(_NOT):
                byte = byte[0] ^ byte[1], byte[1]
            value, mask = byte
            before, others = compared.get(at, (0, 0))
            if (value ^ before) & mask & others:
                fix = "give each byte one value"
                raise RuleError(f"byte {at} of the payload has two values", where, fix)
            compared[at] = value | before, mask | others
    return _joined(compared, sorted(differing), where)


def _window(part: str, where: str) -> _Bits:
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


def _is_one_bit(compared: _Bits) -> bool:
    """Whether one bit alone is compared: what differs in it has the other value."""
    return sum(mask.bit_count() for _, mask in compared.values()) == 1


def _ends(compared: _Bits, where: str) -> tuple[int, int]:
    """The first and the last offset of which a bit is compared."""
    if not compared:
        raise RuleError("the payload compares no bit", where, "set a bit in a mask")
    return min(compared), max(compared)


def _between(compared: _Bits, first: int, last: int) -> Window:
    bits_of = [compared.get(at, (0, 0)) for at in range(first, last + 1)]
    value, mask = map(bytes, zip(*bits_of, strict=True))
    return Window(first, value, mask)


def _joined(compared: _Bits, differing: list[Window], where: str) -> Payload:
    """As few windows as possible with these bytes, and those that differ."""
    windows, left = list[Window](), sorted(compared)
    if not differing:
        _ends(compared, where)
    for window in differing:
        if _settles(compared, window) == window.value:
            fix = "leave one of them out"
            raise RuleError(f"no payload has the bytes, and {_shown(window)}", where, fix)
    while left:
        first = left[0]
        here = [at for at in left if at < first + WINDOW_BYTES]
        windows.append(_between(compared, first, here[-1]))
        left = left[len(here) :]
    windows += differing
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
    shown = f"@{window.at} {window.value.hex()}" + ("" if whole else f"/{window.mask.hex()}")
    return _NOT + shown if window.differs else shown


def holds(payload: Payload, data: bytes) -> bool:
    """Whether a packet's payload, or its first bytes, has all windows."""
    return all(_has(window, data) for window in payload)


def _has(window: Window, data: bytes) -> bool:
    found = data[window.at : window.end]
    masked = bytes(byte & mask for byte, mask in zip(found, window.mask, strict=False))
    return len(found) == len(window.mask) and (masked == window.value) != window.differs


def meet(payload: Payload, other: Payload) -> bool:
    """Whether one packet can have the windows of both; if two of them differ, it is assumed."""
    seen = _bits_of(payload)
    for at, (value, mask) in _bits_of(other).items():
        before, others = seen.get(at, (0, 0))
        if (value ^ before) & mask & others:
            return False
        seen[at] = value | before, mask | others
    windows = (window for window in (*payload, *other) if window.differs)
    return not any(_settles(seen, window) == window.value for window in windows)


def within(payload: Payload, other: Payload) -> bool:
    """Whether each packet with the windows of the first has those of the other."""
    seen, least = _bits_of(payload), max((window.end for window in payload), default=0)
    return all(
        (least >= window.end and _contradicts(payload, seen, window))
        if window.differs
        else _settles(seen, window) == window.value
        for window in other
    )


def _contradicts(payload: Payload, seen: _Bits, window: Window) -> bool:
    """Whether no packet with a payload has the bits of a window that is to differ."""
    here = _bits_of((window._replace(differs=False),))
    for at, (value, mask) in here.items():
        before, others = seen.get(at, (0, 0))
        if (value ^ before) & mask & others:
            return True
    return any(_settles(here, unlike) == unlike.value for unlike in payload if unlike.differs)


def _settles(seen: _Bits, window: Window) -> bytes | None:
    """The bits that a packet with these has in a window; None if one of them is not known."""
    found = [seen.get(at, (0, 0)) for at in range(window.at, window.end)]
    if any(mask & ~known for (_, known), mask in zip(found, window.mask, strict=True)):
        return None
    return bytes(value & mask for (value, _), mask in zip(found, window.mask, strict=True))


def _bits_of(payload: Payload) -> _Bits:
    """The bits that a packet must have, by their offset."""
    return {
        at: pair
        for window in payload
        if not window.differs
        for at, pair in enumerate(zip(window.value, window.mask, strict=True), window.at)
    }
