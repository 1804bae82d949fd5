# SPDX-License-Identifier: GPL-2.0-or-later
"""The red button without a control plane: root writes the switch into the pinned map itself."""

import struct

from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.errors import DatapathError

_BYPASS = struct.Struct("=I")  # struct control of bpf/abi.h begins with it


def press(pins: Pins, on: bool) -> None:
    """Let everything pass, or filter again; DatapathError where there are no pinned maps."""
    try:
        controls = maps.open_map(pins.map("controls"))
    except OSError as error:
        raise DatapathError(f"{pins.map('controls')}: {error.strerror}") from error
    try:
        _BYPASS.pack_into(controls.memory(), 0, int(on))
    except OSError as error:  # frozen by whoever may open it (bpf(2), BPF_MAP_FREEZE)
        raise DatapathError(
            f"{pins.map('controls')} cannot be written ({error.strerror}). "
            "`xdpctl down` takes the filter off; rules are kept"
        ) from error
    finally:
        controls.close()
