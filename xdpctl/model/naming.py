# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of hosts and networks, which sentences say before their addresses."""

import re
from collections.abc import Callable, Mapping

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError

NAME_MAX = 64  # characters
# what may be an address or a prefix; whether it is one, the parser decides
_CANDIDATE = re.compile(
    r"(?<![\w.:/@\-])(?:\d{1,3}(?:\.\d{1,3}){3}|(?=[0-9a-f:]*:[0-9a-f:]*:)[0-9a-f:]{0,38}(?:[0-9a-f]|::))"
    r"(?:/\d{1,3})?(?![\w/@\-]|\.\d|:[\w:])"
)


def _no_more_names(_: Prefix) -> str:
    return ""


class Names:
    """The operator's names, and `more` for addresses that have none."""

    def __init__(
        self, names: Mapping[Prefix, str], more: Callable[[Prefix], str] = _no_more_names
    ) -> None:
        self.use(names)
        self._more = more

    def use(self, names: Mapping[Prefix, str]) -> None:
        """Take other names of the operator."""
        lengths: dict[int, set[int]] = {4: set(), 6: set()}
        for prefix in names:
            lengths[prefix.family].add(prefix.length)
        ordered = {family: sorted(held, reverse=True) for family, held in lengths.items()}
        self._names, self._lengths = dict(names), ordered  # the longest, and so the nearest, first

    def of(self, prefix: Prefix) -> str:
        """The name of an address, or of exactly this prefix; empty if it has none."""
        names = self._names
        if not prefix.exact:
            return names.get(prefix, "")
        around = (names.get(prefix.widened(length)) for length in self._lengths[prefix.family])
        return next(filter(None, around), "") or self._more(prefix)

    def tell(self, text: str) -> str:
        """The text, in which each address with a name is `name (address)`."""
        return _CANDIDATE.sub(self._told, text)

    def _told(self, found: re.Match[str]) -> str:
        try:
            name = self.of(parse_prefix(found[0], "address"))
        except RuleError:
            return found[0]
        return f"{name} ({found[0]})" if name else found[0]
