# SPDX-License-Identifier: GPL-2.0-or-later
"""What the filter protects, and the sides of sources: from the settings and the loader's report."""

from collections.abc import Iterable, Iterator

from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import Prefix
from xdpctl.config.settings import Settings
from xdpctl.fleet.settings import address_of
from xdpctl.model import sides
from xdpctl.model.protection import CONFIGURED, LOOPBACK, MEMBER, OWN_ADDRESS, PEER, Protection
from xdpctl.watch.loader_report import LoaderReport


def protection(
    settings: Settings, report: LoaderReport | None, members: Iterable[Prefix] = ()
) -> Protection:
    """The configured prefixes, and the host's own addresses and gateways that the loader found.

    `members` are the addresses of the fleet's nodes, beside the configured ones. One that is a
    gateway, too, is protected as a node, which may say all that a gateway says.
    """
    speaking = [peer.address for peer in settings.upstream.peers]
    peers = dict.fromkeys([*settings.peers, *speaking], PEER)
    configured = peers | dict.fromkeys(settings.protected, CONFIGURED)
    found = report.protect if report else {}
    own = {prefix for prefix, why in found.items() if why in (OWN_ADDRESS, LOOPBACK)}
    fleet = dict.fromkeys({*_endpoints(settings), *members} - own, MEMBER)
    return Protection(found | configured | fleet, own)


def _endpoints(settings: Settings) -> Iterator[Prefix]:
    """The addresses of the engine's members."""
    for endpoint in settings.fleet.endpoints if settings.fleet else ():
        if address := address_of(endpoint):
            yield address


def known_sides(
    settings: Settings, protected: Protection, report: LoaderReport
) -> dict[Prefix, Side]:
    """On which side of the outside interfaces each prefix is, where that is known."""
    return sides.known(protected, settings.outside, report.on_link, report.logins)
