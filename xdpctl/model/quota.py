# SPDX-License-Identifier: GPL-2.0-or-later
"""Quotas: how much the rules of one origin may block."""

from dataclasses import dataclass

from xdpctl.abi.constants import Constants
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import QuotaError
from xdpctl.model.effect import Action
from xdpctl.model.rule import OPERATOR, Rule


@dataclass(frozen=True, slots=True)
class Quota:
    """The quota of one origin.

    `shortest_ipv4` and `shortest_ipv6` are the shortest prefix lengths allowed, `max_ttl` is in
    seconds, and `max_share` is the share of a family's address space that its rules may drop.
    """

    max_rules: int
    shortest_ipv4: int = 0
    shortest_ipv6: int = 0
    max_ttl: float | None = None
    max_matches: int = Constants.SIGNATURES_MAX
    max_share: float = 1.0

    def check(self, origin: str, prefix: Prefix | None, ttl: float | None, standing: int) -> None:
        """QuotaError if a rule on `prefix` is too wide, lasts too long, or is one too many.

        `standing` is the number of other rules that the origin has.
        """
        if prefix is not None:
            self._check_width(origin, prefix)
        if self.max_ttl is not None and (ttl is None or ttl > self.max_ttl):
            raise QuotaError(
                f"a rule of {origin} must end within {self.max_ttl:g} seconds",
                "ttl",
                f"give a ttl of at most {self.max_ttl:g}",
            )
        if standing >= self.max_rules:
            raise QuotaError(
                f"{origin} has {standing} rules, which is its quota",
                "",
                f"remove some, or raise origins.{origin}.max_rules",
            )

    def check_share(self, origin: str, family: int, of_origin: int, of_all: int) -> None:
        """QuotaError if the rules of this origin, or of all detectors, drop too much of a family.

        `of_origin` and `of_all` are what they drop, in IPv4 addresses or in /64s of IPv6.
        """
        for dropped, most, who, fix in (
            (of_origin, self.max_share, origin, f"raise origins.{origin}.max_share"),
            (of_all, _SHARE_OF_ALL, "all detectors together", "let an operator block it"),
        ):
            if dropped > most * _WHOLE[family]:
                raise QuotaError(
                    f"{who} would drop {dropped / _WHOLE[family]:.2%} of IPv{family}; the maximum "
                    f"is {most:.2%}",
                    "match.source",
                    f"wait until some rules end, or {fix}",
                )

    def _check_width(self, origin: str, prefix: Prefix) -> None:
        shortest = self.shortest_ipv4 if prefix.family == 4 else self.shortest_ipv6
        if prefix.length < shortest:
            raise QuotaError(
                f"{origin} may not block prefixes wider than /{shortest}, and {prefix} is wider",
                "match.source",
                f"split it, or raise origins.{origin}.shortest_ipv{prefix.family}",
            )


AUTOMATIC = Quota(
    max_rules=50_000,
    shortest_ipv4=24,
    shortest_ipv6=48,
    max_ttl=86400.0,
    max_matches=128,
    max_share=1 / 256,
)
_SHARE_OF_ALL = 1 / 128  # share of each family that all detectors together may drop
_WHOLE = {4: 1 << 32, 6: 1 << 61}  # number of IPv4 addresses; of /64s in 2000::/3


def space(rule: Rule) -> int:
    """How much of the address space a detector's rule drops: IPv4 addresses, or /64s of IPv6.

    0 for an operator's rule, or one that does not drop.
    """
    source = rule.by_source
    if source is None or rule.action is not Action.DROP or rule.origin == OPERATOR:
        return 0
    whole = 32 if source.family == 4 else 64
    return 1 << max(0, whole - source.length)
