# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rehearsal protects: the same as the filter that runs on this host, or that would run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.system import ssh_logins
from xdpctl.config.settings import Settings
from xdpctl.datapath.loader import neighbours
from xdpctl.model import sides
from xdpctl.model.protection import Protection
from xdpctl.watch.loader_report import LoaderReport, known_sides, protection

BY_FILTER, BY_REPLAY = "the running filter", "replay on this host"


@dataclass(frozen=True, slots=True)
class Protecting:
    """The protected prefixes, who is logged in by ssh, and the sides of sources.

    `found_by` names the program that examined this host; "" if none did. `outside`: packets come in
    on an outside interface. Only then are `sides` used.
    """

    protection: Protection = field(default_factory=lambda: Protection({}))
    logins: tuple[Prefix, ...] = ()
    found_by: str = ""
    outside: bool = False
    sides: Mapping[Prefix, Side] = field(default_factory=dict)


def nothing(settings: Settings, outside: bool) -> Protecting:
    """No protection, as for a recording of somebody else's network."""
    none = Protection({})
    around = sides.known(none, settings.outside, (), ()) if outside else {}
    return Protecting(none, outside=outside, sides=around)


def as_live(settings: Settings, outside: bool) -> Protecting:
    """What the loader reports if it runs, else what it would find now; AttachError if it fails."""
    report, found_by = _running(settings), BY_FILTER
    if report is None:
        report, found_by = _found(settings), BY_REPLAY
    protected = protection(settings, report)
    around = known_sides(settings, protected, report) if outside else {}
    return Protecting(protected, report.logins, found_by, outside, around)


def all_outside(settings: Settings) -> bool:
    """Whether all configured interfaces are outside; then recordings are from outside, too."""
    names = settings.interface_names
    return bool(names) and settings.outside_interfaces.issuperset(names)


def _running(settings: Settings) -> LoaderReport | None:
    """The report of the running loader; None if no loader runs, or its report cannot be read."""
    try:
        report = LoaderReport.read(settings.loader_status)
    except (OSError, ValueError):
        return None
    return None if report.silent else report


def _found(settings: Settings) -> LoaderReport:
    outside = settings.outside_interfaces
    return LoaderReport(
        pid=os.getpid(),
        beat=0.0,
        ports={},
        protect=neighbours.to_protect() if settings.protect_found else {},
        logins=tuple(ssh_logins.addresses()),
        on_link=tuple(sorted(neighbours.networks(outside))) if outside else (),
    )
