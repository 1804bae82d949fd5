# SPDX-License-Identifier: GPL-2.0-or-later
"""Guards for every detector: the victim must be ours, and drops must not break connections."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.state.draft import Draft
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.effect import Mode
from xdpctl.model.event import Event


def foreign(event: Event, draft: Draft, settings: AutomaticSettings) -> str:
    """Why the victim of an event is not protected; empty if it is ours."""
    if event.victim is None:
        return "the event names neither a victim nor sources"
    ours, protection = settings.networks, draft.state.protection
    destination = event.match.get("destination") if event.match else None
    for aim in (event.victim, destination or event.victim):
        known = any(network.covers(aim) for network in ours) if ours else protection.over(aim)
        if not known:
            return f"{aim} is in neither automatic.networks nor protected"
    return ""


def broken(
    event: Event, draft: Draft, settings: AutomaticSettings, peers: Peers
) -> tuple[frozenset[Prefix], str]:
    """The sources whose drops would break too many connections, and why; else empty."""
    fresh = frozenset(source for source in event.sources if not _dropped(draft, source))
    count, most = peers.count(fresh), settings.max_connections
    if count <= most:
        return frozenset(), ""
    setting = f"automatic.max_connections {most:,}"
    return fresh, f"would break {count:,} established connections ({setting})"


def _dropped(draft: Draft, source: Prefix) -> bool:
    standing = draft.standing(source)
    return standing is not None and standing.mode is Mode.ENFORCE
