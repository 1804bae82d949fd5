# SPDX-License-Identifier: GPL-2.0-or-later
"""The bypass switch without a control plane: root writes it directly to the pinned map."""

import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.maps import Map
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.errors import DatapathError

_BYPASS = struct.Struct("=I")  # struct control of bpf/abi.h begins with it


@contextmanager
def _controls(pins: Pins) -> Iterator[Map]:
    """The map with the switch; DatapathError if it cannot be opened."""
    try:
        controls = maps.open_map(pins.map("controls"))
    except OSError as error:
        raise DatapathError(f"{pins.map('controls')}: {error.strerror}") from error
    with closing(controls):
        yield controls


def pressed(pins: Pins) -> bool:
    """Whether the bypass of a filter is on; DatapathError if the map cannot be read."""
    with _controls(pins) as controls:
        value = controls.get(bytes(4)) or bytes(_BYPASS.size)
        return bool(_BYPASS.unpack_from(value, 0)[0])


def press(pins: Pins, on: bool) -> None:
    """Turn the bypass on (pass all packets) or off; DatapathError if the map cannot be written."""
    with _controls(pins) as controls:
        try:
            _BYPASS.pack_into(controls.memory(), 0, int(on))
        except OSError as error:  # another process has frozen the map (bpf(2), BPF_MAP_FREEZE)
            raise DatapathError(
                f"{pins.map('controls')} cannot be written ({error.strerror}). "
                "`xdpctl down` detaches the filter; rules are kept"
            ) from error


def press_all(directory: Path, on: bool) -> None:
    """Turn the bypass of every filter in a pin directory on or off: during an upgrade of both.

    DatapathError if there is none, or a map cannot be written.
    """
    current = Pins(directory)
    if not current.map("controls").exists():
        raise DatapathError(f"there is no filter under {directory}: is the loader running?")
    filters = [pins for pins in Pins.all(directory) if pins.map("controls").exists()]
    errors = []
    for pins in sorted(filters, key=lambda pins: pins.name != current.name):  # in force: first
        try:
            press(pins, on)
        except DatapathError as error:  # the others are pressed all the same
            errors.append(error)
    if errors:
        raise errors[0]
