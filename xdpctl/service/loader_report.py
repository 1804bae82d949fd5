# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader's word, as the control plane reads it: checked like anything from another process."""

import time
from pathlib import Path
from typing import Any, Self

import msgspec

from xdpctl.base.net.prefix import Prefix, exact_address, parse_prefix
from xdpctl.base.system.owned_folder import read_file
from xdpctl.errors import RuleError

_MOST = 1 << 20  # bytes of the file
_SILENT_SECONDS = 20.0  # the loader says every five seconds that it lives


class _File(msgspec.Struct):
    pid: int = 0
    beat: float = 0.0
    ports: dict[str, dict[str, Any]] = {}
    protect: dict[str, str] = {}
    sessions: list[str] = []
    on_link: list[str] = []


_decoder = msgspec.json.Decoder(_File)


class LoaderReport(msgspec.Struct, frozen=True):
    """`beat` is CLOCK_MONOTONIC in seconds; `sessions` are addresses that are logged in by ssh,
    `on_link` the networks on outside interfaces.
    """

    pid: int
    beat: float
    ports: dict[str, dict[str, Any]]
    protect: dict[Prefix, str]
    sessions: tuple[Prefix, ...]
    on_link: tuple[Prefix, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """OSError if there is none, ValueError if it is damaged."""
        held = _decoder.decode(read_file(path, _MOST))
        try:
            protect = {parse_prefix(text): why for text, why in held.protect.items()}
            on_link = tuple(map(parse_prefix, held.on_link))
        except RuleError as error:
            raise ValueError(str(error)) from error
        sessions = tuple(found for one in held.sessions if (found := exact_address(one)))
        return cls(held.pid, held.beat, held.ports, protect, sessions, on_link)

    @property
    def silent(self) -> bool:
        """Whether the loader has not been heard of for longer than it should take."""
        return time.monotonic() - self.beat > _SILENT_SECONDS
