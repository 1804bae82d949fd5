# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishes to the other nodes the rules of this node's detectors, and when the rules end."""

import threading

from xdpctl.fleet import keys
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.engine.values import Swap
from xdpctl.fleet.intent import VERSION, Intent, content, encode, kind_named
from xdpctl.model import tags
from xdpctl.model.rule import Rule, automatic
from xdpctl.model.shared import key_of

_TOGETHER = 60
_OF_RULES = "rules/"


class Detected:
    """Keeps the rules of this node's detectors in the engine up to date.

    `note` names a rule that may have changed. After a start, and after the engine was away, `step`
    compares all rules.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self._named: set[str] = set()
        self._ended: set[str] = set()
        self._told: dict[str, str] | None = None  # ETags published, by key; None: not known
        self._lock = threading.Lock()

    def note(self, key: str, ended: bool) -> None:
        """A rule of a detector was added or changed, or it `ended`."""
        if not key.startswith(_OF_RULES):
            return
        with self._lock:
            self._named.add(key)
            if ended:
                self._ended.add(key)

    def forget(self) -> None:
        """Compare everything at the next step."""
        self._told = None

    def step(self) -> None:
        """Publish what has changed; EngineError if the engine does not answer."""
        etags = self._read() if self._told is None else self._told
        with self._lock:
            rule_keys, self._named = self._named, set()
            ended, self._ended = self._ended, set()
        try:
            self._tell(etags, sorted(rule_keys), ended)
        except BaseException:
            with self._lock:
                self._named |= rule_keys
                self._ended |= ended
            raise
        self._told = etags

    def _read(self) -> dict[str, str]:
        """The keys that the engine has of this node; notes these, and all present rules."""
        prefix = keys.of_node(keys.FOUND, self._member.name)
        kvs = self._member.engine.snapshot(prefix, keys_only=True).held
        etags = {kv.key.removeprefix(prefix): "" for kv in kvs}
        state = self._member.controller.state
        mine = state.all_rules()
        with self._lock:
            self._named |= etags.keys()
            self._named |= {key_of(rule) for rule in mine if _ours(rule)}
        return etags

    def _tell(self, etags: dict[str, str], rule_keys: list[str], over: set[str]) -> None:
        rules = {key: rule for key in rule_keys if (rule := self._rule(key))}
        # a rule that ended and was made anew gets a new key: on other nodes, somebody may have
        # removed the old one
        ended = [key for key in rule_keys if key in etags and (key not in rules or key in over)]
        deletions = [(Swap(keys.found(self._member.name, key), None, None), "") for key in ended]
        self._write_all(etags, deletions)
        changed = (key for key, rule in rules.items() if etags.get(key) != rule.etag)
        swaps = [(self._swap(key, rules[key]), rules[key].etag) for key in changed]
        self._write_all(etags, swaps)

    def _write_all(self, etags: dict[str, str], swaps: list[tuple[Swap, str]]) -> None:
        for first in range(0, len(swaps), _TOGETHER):
            self._write(etags, swaps[first : first + _TOGETHER])

    def _write(self, etags: dict[str, str], swaps: list[tuple[Swap, str]]) -> None:
        self._member.engine.swap([swap for swap, _ in swaps])
        prefix = keys.of_node(keys.FOUND, self._member.name)
        for swap, etag in swaps:
            key = swap.key.removeprefix(prefix)
            if etag:
                etags[key] = etag
            else:
                etags.pop(key, None)

    def _swap(self, key: str, rule: Rule) -> Swap:
        now, (kind, _) = self._member.controller.clock.read(), kind_named(key)
        intent = Intent(
            v=VERSION,
            by=rule.origin,
            node=self._member.name,
            at=now.unix,
            clock=now.error is not None,
            data=content(kind, rule, now),
        )
        ends = rule.kernel_expires_ns
        lease = self._member.leases.until(max(1.0, (ends - now.ns) / 1e9)) if ends else 0
        return Swap(keys.found(self._member.name, key), encode(intent), None, lease)

    def _rule(self, key: str) -> Rule | None:
        """The rule of a key, if it belongs to a detector of this node."""
        _, name = kind_named(key)
        controller = self._member.controller
        rule = controller.state.find(name, controller.clock.read().ns)
        return rule if rule and _ours(rule) else None


def _ours(rule: Rule) -> bool:
    return automatic(rule) and tags.of_event(rule.tags)
