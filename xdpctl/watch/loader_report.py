# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the loader's report: what is protected, and how often the filter was taken off."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.system.owned_folder import read_file
from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.control.store.audit_search import Wanted, newest
from xdpctl.errors import RuleError
from xdpctl.fleet.settings import address_of
from xdpctl.model import sides
from xdpctl.model.protection import CONFIGURED, LOOPBACK, MEMBER, OWN_ADDRESS, PEER, Protection

_MOST = 1 << 20  # bytes of the file
_SILENT_SECONDS = 20.0  # the loader rewrites its report every five seconds
ACTION = "filter.taken_off"
_SECONDS = 2.0
_ANSWER_SECONDS = 30.0
_KNOWN = 1_000  # audit records that are read at the start


class _File(msgspec.Struct):
    pid: int = 0
    beat: float = 0.0
    ports: dict[str, dict[str, Any]] = {}
    protect: dict[str, str] = {}
    logins: list[str] = []
    on_link: list[str] = []
    findings: list[dict[str, str]] = []
    modules: dict[str, str] = {}


_decoder = msgspec.json.Decoder(_File)


class LoaderReport(msgspec.Struct, frozen=True):
    """What the loader reports.

    `beat` is the time of the report, CLOCK_MONOTONIC in seconds; `logins` are addresses that
    are logged in by ssh, `on_link` the networks on outside interfaces, `findings` doctor's
    findings, `modules` why modules do not run, by name.
    """

    pid: int
    beat: float
    ports: dict[str, dict[str, Any]]
    protect: dict[Prefix, str]
    logins: tuple[Prefix, ...]
    on_link: tuple[Prefix, ...]
    findings: tuple[dict[str, str], ...] = ()
    modules: Mapping[str, str] = {}

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
        return cls(
            file.pid,
            file.beat,
            file.ports,
            protect,
            logins,
            on_link,
            tuple(file.findings),
            file.modules,
        )

    @property
    def silent(self) -> bool:
        """Whether the report is older than `_SILENT_SECONDS`, or of an earlier boot."""
        return not 0 <= time.monotonic() - self.beat <= _SILENT_SECONDS


class LoaderFile:
    """The file of the report, which is read anew each time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> LoaderReport | None:
        """The last report; None if there is none, or it is damaged."""
        try:
            return LoaderReport.read(self._path)
        except (OSError, ValueError):
            return None

    def ports(self) -> Mapping[str, Mapping[str, Any]]:
        """All interfaces of the loader, also absent ones; empty without a report."""
        report = self.read()
        return report.ports if report else {}


def protection(
    settings: Settings, report: LoaderReport | None, members: Iterable[Prefix] = ()
) -> Protection:
    """The configured prefixes, and the host's own addresses and gateways that the loader found.

    `members` are the addresses of the fleet's nodes, beside the configured ones. A node that is
    also a gateway counts as a node, which is allowed everything that a gateway is.
    """
    speaking = [peer.address for peer in settings.upstream.peers]
    peers = dict.fromkeys([*settings.peers, *speaking], PEER)
    configured = peers | dict.fromkeys(settings.protected, CONFIGURED)
    reported = report.protect if report else {}
    own = {prefix for prefix, why in reported.items() if why in (OWN_ADDRESS, LOOPBACK)}
    fleet = dict.fromkeys({*_endpoints(settings), *members} - own, MEMBER)
    return Protection(reported | configured | fleet, own)


def _endpoints(settings: Settings) -> Iterator[Prefix]:
    """The addresses of the engine's members."""
    for endpoint in settings.fleet.endpoints if settings.fleet else ():
        if address := address_of(endpoint):
            yield address


def known_sides(
    settings: Settings,
    protected: Protection,
    report: LoaderReport,
    in_use: Iterable[Prefix] = (),
) -> dict[Prefix, Side]:
    """On which side of the outside interfaces each prefix is, where that is known.

    `in_use` are networks inside that nobody named.
    """
    known = sides.known(protected, settings.outside, report.on_link, report.logins)
    return sides.with_in_use(known, in_use)


def without_egress(ports: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The interfaces at which no program looks at what goes out, by name, and why."""
    return {
        name: port.get("teaches_not") or port.get("detail") or "it is not known why"
        for name, port in ports.items()
        if port.get("teaches_not") or (port.get("state") == "failed" and not port.get("teaches"))
    }


class TakenOff:
    """Audits how often the filter was taken off, by the loader's counts; a restart repeats nothing.

    `report` returns the loader's last report.
    """

    def __init__(self, controller: Controller, report: Callable[[], LoaderReport | None]) -> None:
        self._controller, self._report = controller, report
        self._audited: dict[tuple[int, str], int] | None = None
        self._task = PeriodicTask(
            "taken off", _SECONDS, self.step, "it is not audited whether the filter is taken off"
        )

    def start(self) -> None:
        """Check now, and then every two seconds."""
        self._task.start()

    def stop(self) -> None:
        self._task.stop()

    def step(self, _: float = 0.0) -> None:
        """Audit what the loader counted since."""
        if (report := self._report()) is None:
            return
        if self._audited is None:
            self._audited = _audited(self._controller)
        for name, port in report.ports.items():
            counted, key = int(port.get("taken_off", 0)), (report.pid, name)
            if counted > self._audited.get(key, 0):
                detail = {"times": counted, "loader": report.pid, "state": port.get("state")}
                self._note(name, detail)
                self._audited[key] = counted

    def _note(self, interface: str, detail: dict[str, object]) -> None:
        noted = self._controller.submit(
            lambda draft: draft.note("loader", ACTION, interface, **detail)
        )
        noted.result(_ANSWER_SECONDS)


def _audited(controller: Controller) -> dict[tuple[int, str], int]:
    counts: dict[tuple[int, str], int] = {}
    for record in newest(controller.store, Wanted(action=ACTION), _KNOWN):
        key = int(record["detail"]["loader"]), str(record["subject"])
        counts[key] = max(counts.get(key, 0), int(record["detail"]["times"]))
    return counts
