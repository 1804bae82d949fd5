# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rules are of an event or an incident, found without a look at all of them."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.model import tags
from xdpctl.model.rule import Rule


class TagIndex:
    """Sources by such tags; the many tags that are of one rule alone need no set."""

    def __init__(self) -> None:
        self._held: dict[str, Prefix | set[Prefix]] = {}

    def sources(self, tag: str) -> list[Prefix]:
        """The sources of the rules that have this tag."""
        held = self._held.get(tag, set())
        return list(held) if isinstance(held, set) else [held]

    def add(self, rule: Rule) -> None:
        """Index the tags of a rule that name an event, a group or an incident."""
        for tag in rule.tags:
            if not tag.startswith((tags.EVENT, tags.GROUP, tags.INCIDENT)):
                continue
            held = self._held.get(tag)
            if held is None:
                self._held[tag] = rule.source
            elif isinstance(held, set):
                held.add(rule.source)
            elif held != rule.source:
                self._held[tag] = {held, rule.source}

    def remove(self, rule: Rule) -> None:
        """Remove a rule from the index."""
        for tag in rule.tags:
            held = self._held.get(tag)
            if isinstance(held, set):
                held.discard(rule.source)
            if held == rule.source or held == set():
                del self._held[tag]

    def clear(self) -> None:
        """Remove all rules from the index."""
        self._held.clear()
