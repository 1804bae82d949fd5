# SPDX-License-Identifier: GPL-2.0-or-later
"""An index of rules by the tags of events, groups and incidents."""

from xdpctl.base.net.prefix import Prefix
from xdpctl.model import tags
from xdpctl.model.rule import Rule


class TagIndex:
    """Sources by tag; a tag of a single rule is kept without a set, since most are like that."""

    def __init__(self) -> None:
        self._by_tag: dict[str, Prefix | set[Prefix]] = {}

    def sources(self, tag: str) -> list[Prefix]:
        """The sources of the rules that have this tag."""
        found = self._by_tag.get(tag, set())
        return list(found) if isinstance(found, set) else [found]

    def add(self, source: Prefix, rule: Rule) -> None:
        """Index the tags of a rule that name an event, a group or an incident."""
        for tag in rule.tags:
            if not tag.startswith((tags.EVENT, tags.GROUP, tags.INCIDENT)):
                continue
            found = self._by_tag.get(tag)
            if found is None:
                self._by_tag[tag] = source
            elif isinstance(found, set):
                found.add(source)
            elif found != source:
                self._by_tag[tag] = {found, source}

    def remove(self, source: Prefix, rule: Rule) -> None:
        """Remove a rule from the index."""
        for tag in rule.tags:
            found = self._by_tag.get(tag)
            if isinstance(found, set):
                found.discard(source)
            if found == source or found == set():
                del self._by_tag[tag]

    def clear(self) -> None:
        """Remove all rules from the index."""
        self._by_tag.clear()
