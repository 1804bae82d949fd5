# SPDX-License-Identifier: GPL-2.0-or-later
"""`[names]` of the configuration file."""

from msgspec import field

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.problems import Problems
from xdpctl.base.typed import Table
from xdpctl.errors import RuleError
from xdpctl.model.naming import NAME_MAX

_HOSTS_MAX = 10_000


class NamesSettings(Table, frozen=True):
    """`[names]`: how sentences call hosts and networks.

    `hosts` has names by address or prefix. With `reverse_dns`, protected addresses without such a
    name are looked up in the DNS.
    """

    hosts: dict[str, str] = field(default_factory=dict)
    reverse_dns: bool = False

    def check(self, place: str, problems: Problems) -> None:
        """Refuse what is no address, and names that cannot stand in a sentence."""
        if len(self.hosts) > _HOSTS_MAX:
            problems.add(
                f"{place}.hosts has {len(self.hosts):,} names: give {_HOSTS_MAX:,} at most"
            )
        seen: dict[Prefix, str] = {}
        for address, name in self.hosts.items():
            where = f"{place}.hosts.{address[:60]!r}"
            try:
                earlier = seen.setdefault(parse_prefix(address, where), address)
            except RuleError as error:
                problems.add(f"{where}: {error}: {error.fix}")
            else:
                if earlier != address:
                    problems.add(f"{where} and {earlier!r} are the same: keep one of them")
            if not name.strip() or name != name.strip() or not name.isprintable():
                problems.add(f"{where} must be a name on one line, without blanks around it")
            elif len(name) > NAME_MAX:
                problems.add(f"{where} is longer than {NAME_MAX} characters: shorten it")

    @property
    def by_prefix(self) -> dict[Prefix, str]:
        """The names by prefix."""
        return {parse_prefix(address, "names.hosts"): name for address, name in self.hosts.items()}
