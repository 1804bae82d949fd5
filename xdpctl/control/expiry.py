# SPDX-License-Identifier: GPL-2.0-or-later
"""Removes expired rules, which the kernel stopped applying automatically at their end."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from xdpctl.abi.structs import Hits
from xdpctl.control.committer import Committer
from xdpctl.control.rule_hits import rule_hits
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import NEVER
from xdpctl.model.rule import Rule

_STEP = 512
_NAMED = 512  # ids in one audit record; more rules need several records
_RAN_OUT = "it expired"


class Ledger(Protocol):
    """Records what rules did once they have ended; incidents/ledger implements it."""

    def rule_ended(self, draft: Draft, rule: Rule, hits: Hits, why: str) -> None:
        """Record what a rule that ends now has hit, and `why` it ends."""
        ...

    def close_quiet(self, draft: Draft) -> None:
        """Close the incidents whose last rule has expired."""
        ...


class NoLedger:
    """A ledger that records nothing, as for a replay."""

    def rule_ended(self, draft: Draft, rule: Rule, hits: Hits, why: str) -> None:
        """Nothing is recorded."""

    def close_quiet(self, draft: Draft) -> None:
        """Nothing is recorded."""


class Expiry:
    """Removes expired rules from store, state and kernel, and records them."""

    def __init__(self, committer: Committer, ledger: Ledger) -> None:
        self._committer, self._ledger = committer, ledger

    def matches(self) -> None:
        """Remove the expired rules with a match, and close the incidents whose last rule ended."""
        committer = self._committer
        draft = Draft(committer.state, committer.clock.read())
        self._end(draft, list(committer.state.matches.values()))
        self._ledger.close_quiet(draft)
        committer.commit(draft)

    def steps(self) -> Iterator[None]:
        """Remove the expired rules on sources; each step checks some hundred rules."""
        everything = iter(list(self._committer.state.rules.values()))
        while batch := list(islice(everything, _STEP)):
            self._sources(batch)
            yield

    def now(self) -> None:
        """Remove all expired rules on sources at once, if any can have expired."""
        state = self._committer.state
        if self._committer.clock.read().ns >= state.next_expiry:
            self._sources(list(state.rules.values()))
            ends = (rule.kernel_expires_ns or NEVER for rule in state.rules.values())
            state.next_expiry = min(ends, default=NEVER)

    def _sources(self, batch: Sequence[Rule]) -> None:
        committer = self._committer
        draft = Draft(committer.state, committer.clock.read())
        rules = committer.state.rules
        self._end(draft, [r for r in batch if r.source and rules.get(r.source) == r])
        committer.commit(draft)

    def _end(self, draft: Draft, candidates: Sequence[Rule]) -> None:
        ended = [rule for rule in candidates if rule.expired(draft.now.ns)]
        counted = rule_hits(self._committer.state, self._committer.datapath, ended)
        summarized: list[tuple[Rule, Hits]] = []
        for rule, hits in zip(ended, counted, strict=True):
            draft.remove(rule)
            self._ledger.rule_ended(draft, rule, hits, _RAN_OUT)
            if rule.ends_unconfirmed:  # a person waits for this end, so it has a separate record
                draft.note("xdpctl", "rule.undo", rule.id, **rule.describe(), **_asdict(hits))
            else:
                summarized.append((rule, hits))
        for first in range(0, len(summarized), _NAMED):
            _note(draft, summarized[first : first + _NAMED])


def _note(draft: Draft, ended: list[tuple[Rule, Hits]]) -> None:
    """Note one audit record of the rules that expired together: ids, or a single rule in full."""
    total = Hits(sum(hits.packets for _, hits in ended), sum(hits.bytes for _, hits in ended))
    rule = ended[0][0]
    if len(ended) == 1:
        draft.note("xdpctl", "rule.expire", rule.id, **rule.describe(), **_asdict(total))
    else:
        ids = [rule.id for rule, _ in ended]
        draft.note("xdpctl", "rule.expire", "", rules=len(ended), ids=ids, **_asdict(total))


def _asdict(hits: Hits) -> dict[str, int]:
    return {"packets": hits.packets, "bytes": hits.bytes}
