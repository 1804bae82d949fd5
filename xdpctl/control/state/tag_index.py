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
        sources = self._by_tag.get(tag, set())
        return list(sources) if isinstance(sources, set) else [sources]

    def add(self, source: Prefix, rule: Rule) -> None:
        """Index the tags of a rule that name an event, a group or an incident."""
        for tag in rule.tags:
            if not tag.startswith((tags.EVENT, tags.GROUP, tags.INCIDENT)):
                continue
            sources = self._by_tag.get(tag)
            if sources is None:
                self._by_tag[tag] = source
            elif isinstance(sources, set):
                sources.add(source)
            elif sources != source:
                self._by_tag[tag] = {sources, source}

    def remove(self, source: Prefix, rule: Rule) -> None:
        """Remove a rule from the index."""
        for tag in rule.tags:
            sources = self._by_tag.get(tag)
            if isinstance(sources, set):
                sources.discard(source)
            if sources == source or sources == set():
                del self._by_tag[tag]

    def clear(self) -> None:
        """Remove all rules from the index."""
        self._by_tag.clear()
