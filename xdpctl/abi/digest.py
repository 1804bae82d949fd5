# SPDX-License-Identifier: GPL-2.0-or-later
"""A digest of everything that programs and maps agree on: versions that share it share the maps."""

import hashlib
from enum import IntEnum
from functools import cache

import numpy as np

from xdpctl.abi import arrays, constants, sizes, structs

_BYTES = 8


@cache
def digest() -> str:
    """The digest, as 16 hex digits."""
    parts = []
    for named in (vars(constants) | vars(sizes), vars(structs), vars(arrays)):
        for name, value in sorted(named.items()):
            if isinstance(value, type) and issubclass(value, IntEnum):
                parts.append(f"{name} {[(member.name, int(member)) for member in value]}")
            elif isinstance(value, type) and issubclass(value, structs.Wire):
                parts.append(f"{name} {getattr(value, 'FORMAT', '')}")
            elif isinstance(value, np.dtype):
                parts.append(f"{name} {value.itemsize} {value.descr}")
            elif isinstance(value, int) and not name.startswith("_"):
                parts.append(f"{name} {value}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[: 2 * _BYTES]
