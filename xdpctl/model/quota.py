# SPDX-License-Identifier: GPL-2.0-or-later
"""What one origin may ask for."""

from dataclasses import dataclass

from xdpctl.abi.structs import Constants
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import QuotaError


@dataclass(frozen=True, slots=True)
class Quota:
    """What one origin may ask for; lengths are the shortest prefixes allowed, `max_ttl` seconds."""

    max_rules: int
    shortest_ipv4: int = 0
    shortest_ipv6: int = 0
    max_ttl: float | None = None
    max_signatures: int = Constants.SIGNATURES_MAX
    max_share: float = 1.0

    def check(self, origin: str, prefix: Prefix | None, ttl: float | None, standing: int) -> None:
        """QuotaError if a rule on `prefix` is too wide or too long, or one too many."""
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

    def check_share(self, origin: str, family: int, own: int, every: int) -> None:
        """QuotaError if rules drop too much of a family: `own` of this origin, `every` of all."""
        for held, most, who, fix in (
            (own, self.max_share, origin, f"raise origins.{origin}.max_share"),
            (every, _SHARE_OF_ALL, "all detectors together", "let an operator block it"),
        ):
            if held > most * _WHOLE[family]:
                raise QuotaError(
                    f"{who} would drop {held / _WHOLE[family]:.2%} of IPv{family}, and {most:.2%} "
                    "is the most",
                    "match.source",
                    f"let some rules end, or {fix}",
                )

    def _check_width(self, origin: str, prefix: Prefix) -> None:
        shortest = self.shortest_ipv4 if prefix.family == 4 else self.shortest_ipv6
        if prefix.length < shortest:
            raise QuotaError(
                f"{origin} may block nothing wider than /{shortest}; {prefix} is wider",
                "match.source",
                f"split it, or raise origins.{origin}.shortest_ipv{prefix.family}",
            )


AUTOMATIC = Quota(
    max_rules=50_000,
    shortest_ipv4=24,
    shortest_ipv6=48,
    max_ttl=86400.0,
    max_signatures=128,
    max_share=1 / 256,
)
_SHARE_OF_ALL = 1 / 128  # of each family, that all detectors together may drop
_WHOLE = {4: 1 << 32, 6: 1 << 61}  # addresses; /64s of 2000::/3
