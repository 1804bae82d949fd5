# SPDX-License-Identifier: GPL-2.0-or-later
"""The adapters by the name in POST /v1/hooks/{name}."""

from collections.abc import Callable, Mapping

from xdpctl.detectors.formats import (
    alertmanager,
    builtin,
    crowdsec,
    exabgp,
    fail2ban,
    fastnetmon,
    gobgp,
    native,
    sflowrt,
    suricata,
    wanguard,
)
from xdpctl.errors import NotFoundError
from xdpctl.model.event import Event
from xdpctl.model.rule import BUILTIN

Adapter = Callable[[bytes], list[Event]]
ADAPTERS: dict[str, Adapter] = {
    "alertmanager": alertmanager.read,
    BUILTIN: builtin.read,
    "crowdsec": crowdsec.read,
    "event": native.read,
    "exabgp": exabgp.read,
    "fail2ban": fail2ban.read,
    "fastnetmon": fastnetmon.read,
    "gobgp": gobgp.read,
    "sflowrt": sflowrt.read,
    "suricata": suricata.read,
    "wanguard": wanguard.read,
}


def adapter(name: str, known: Mapping[str, Adapter] = ADAPTERS) -> Adapter:
    """The adapter of that name; NotFoundError if there is none."""
    if name not in known:
        raise NotFoundError(f"there is no hook {name[:40]!r}; there are {', '.join(known)}")
    return known[name]
