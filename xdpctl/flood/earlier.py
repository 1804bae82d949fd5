# SPDX-License-Identifier: GPL-2.0-or-later
"""The mitigations that have ended, and began within a day. Pure."""

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.mitigation import Mitigation
from xdpctl.model.match.match import Match

_SECONDS, _MOST = 86_400.0, 500


class Earlier:
    """The newest mitigation of each victim, kind and match; beyond a maximum the oldest goes."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str, str], Mitigation] = {}

    @property
    def all(self) -> list[Mitigation]:
        return list(self._by_name.values())

    def add(self, mitigation: Mitigation) -> None:
        name = _name(mitigation)
        self._by_name.pop(name, None)
        self._by_name[name] = mitigation
        while len(self._by_name) > _MOST:
            del self._by_name[next(iter(self._by_name))]

    def same_as(self, mitigation: Mitigation) -> Mitigation | None:
        """The earlier mitigation of the same victim, kind and match; None if there is none."""
        return self._by_name.get(_name(mitigation))

    def drops(self, victim: Prefix, kind: Traffic, unix: float) -> list[tuple[Match, float]]:
        """The drops for the same victim and kind, and how many seconds ago they began."""
        return [
            (mitigation.parsed(), max(unix - mitigation.began, 0.0))
            for mitigation in self._by_name.values()
            if (mitigation.prefix, mitigation.of_kind) == (victim, kind)
            and mitigation.drops
            and not mitigation.watched
        ]

    def forget(self, unix: float) -> None:
        """Forget mitigations that began more than a day ago."""
        old = [
            name for name, mitigation in self._by_name.items() if unix - mitigation.began > _SECONDS
        ]
        for name in old:
            del self._by_name[name]


def _name(mitigation: Mitigation) -> tuple[str, str, str]:
    return mitigation.victim, mitigation.kind, mitigation.match
