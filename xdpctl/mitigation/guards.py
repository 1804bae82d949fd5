# SPDX-License-Identifier: GPL-2.0-or-later
"""What no detector gets past, whatever it says: whose victim it is, and whom a drop would break."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.state.draft import Draft
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.event import Event
from xdpctl.model.rule import Mode


def foreign(event: Event, draft: Draft, settings: AutomaticSettings) -> str:
    """Why a victim is not for us to protect."""
    if event.victim is None:
        return "it names neither a victim nor sources"
    ours, protection = settings.networks, draft.state.protection
    destination = event.match.get("destination") if event.match else None
    for aim in (event.victim, destination or event.victim):
        known = any(network.covers(aim) for network in ours) if ours else protection.over(aim)
        if not known:
            return f"{aim} is none of ours (automatic.networks, protected)"
    return ""


def broken(
    event: Event, draft: Draft, settings: AutomaticSettings, peers: Peers
) -> tuple[frozenset[Prefix], str]:
    """The sources that are not dropped yet, if that would break too much, and why; else none."""
    fresh = frozenset(source for source in event.sources if not _dropped(draft, source))
    count, most = peers.count(fresh), settings.max_connections
    if count <= most:
        return frozenset(), ""
    settable = f"automatic.max_connections {most:,}"
    return fresh, f"would break {count:,} established connections ({settable})"


def _dropped(draft: Draft, source: Prefix) -> bool:
    standing = draft.standing(source)
    return standing is not None and standing.mode is Mode.ENFORCE
