# SPDX-License-Identifier: GPL-2.0-or-later
"""All rules of a state by the key of their match, whichever table of the kernel they are in."""

from collections.abc import Iterator, Mapping
from typing import Any

from xdpctl.control.state.state import State
from xdpctl.model.match.match import Key
from xdpctl.model.rule import Rule


class RulesOf(Mapping[Key, Rule]):
    """A view of a state, which copies nothing."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __getitem__(self, key: Key) -> Rule:
        rule = self._state.record(key)
        if rule is None:
            raise KeyError(key)
        return rule

    def get(self, key: Key, default: Any = None, /) -> Any:
        """The rule that has a key."""
        return self._state.record(key) or default

    def __contains__(self, key: object) -> bool:
        return isinstance(key, Key) and self._state.record(key) is not None

    def __iter__(self) -> Iterator[Key]:
        yield from list(self._state.rules)
        yield from [rule.match.key for rule in list(self._state.matches.values())]

    def __len__(self) -> int:
        return len(self._state.rules) + len(self._state.matches)
