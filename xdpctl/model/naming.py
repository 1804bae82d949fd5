# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of hosts and networks, which sentences say before their addresses."""

import re
from collections.abc import Callable, Mapping

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError

NAME_MAX = 64  # characters
# what may be an address or a prefix; whether it is one, the parser decides
_CANDIDATE = re.compile(
    r"(?<![\w.:/@\-])(?:\d{1,3}(?:\.\d{1,3}){3}|(?=[0-9a-f:]*:[0-9a-f:]*:)[0-9a-f:]{2,39})"
    r"(?:/\d{1,3})?(?![\w:/@\-]|\.\d)"
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
        self._exact = dict(names)
        # the longest prefix first, so that the first one that covers an address is the nearest
        self._around = sorted(
            (pair for pair in names.items() if not pair[0].exact), key=lambda pair: -pair[0].length
        )

    def of(self, prefix: Prefix) -> str:
        """The name of an address, or of exactly this prefix; empty if it has none."""
        if name := self._exact.get(prefix):
            return name
        if not prefix.exact:
            return ""
        around = (name for network, name in self._around if network.covers(prefix))
        return next(around, "") or self._more(prefix)

    def tell(self, text: str) -> str:
        """The text, in which each address with a name is `name (address)`."""
        return _CANDIDATE.sub(self._told, text)

    def _told(self, found: re.Match[str]) -> str:
        try:
            name = self.of(parse_prefix(found[0], "address"))
        except RuleError:
            return found[0]
        return f"{name} ({found[0]})" if name else found[0]
