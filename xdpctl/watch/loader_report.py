# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader's report, as the control plane reads and checks it."""

import time
from pathlib import Path
from typing import Any, Self

import msgspec

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.system.owned_folder import read_file
from xdpctl.errors import RuleError

_MOST = 1 << 20  # bytes of the file
_SILENT_SECONDS = 20.0  # the loader rewrites its report every five seconds


class _File(msgspec.Struct):
    pid: int = 0
    beat: float = 0.0
    ports: dict[str, dict[str, Any]] = {}
    protect: dict[str, str] = {}
    logins: list[str] = []
    on_link: list[str] = []
    findings: list[dict[str, str]] = []


_decoder = msgspec.json.Decoder(_File)


class LoaderReport(msgspec.Struct, frozen=True):
    """What the loader reports.

    `beat` is the time of the report, CLOCK_MONOTONIC in seconds; `logins` are addresses that
    are logged in by ssh, `on_link` the networks on outside interfaces, `findings` those of doctor.
    """

    pid: int
    beat: float
    ports: dict[str, dict[str, Any]]
    protect: dict[Prefix, str]
    logins: tuple[Prefix, ...]
    on_link: tuple[Prefix, ...]
    findings: tuple[dict[str, str], ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the report; OSError if there is none, ValueError if it is damaged."""
        file = _decoder.decode(read_file(path, _MOST))
        try:
            protect = {parse_prefix(text): why for text, why in file.protect.items()}
            on_link = tuple(map(parse_prefix, file.on_link))
            logins = tuple(map(parse_prefix, file.logins))
        except RuleError as error:
            raise ValueError(str(error)) from error
        return cls(file.pid, file.beat, file.ports, protect, logins, on_link, tuple(file.findings))

    @property
    def silent(self) -> bool:
        """Whether the report is older than `_SILENT_SECONDS`, or of an earlier boot."""
        return not 0 <= time.monotonic() - self.beat <= _SILENT_SECONDS
