# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps a rule whose event has ended until it has no more hits, then removes it."""

from collections.abc import Iterable

from xdpctl.abi.structs import Hits
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.incidents.ledger import ledger
from xdpctl.mitigation.watchers.activity import Activity
from xdpctl.model import tags
from xdpctl.model.rule import Mode
from xdpctl.model.signature import Signature, automatic

_STEP_SECONDS = 1.0
_QUIET_SECONDS = 3.0
_WHY = "the detector ended it, and it had no more hits"


def held_back(held: object, hits: Hits) -> bool:
    """Whether a rule whose event ended is kept until it has no more hits."""
    return isinstance(held, Signature) and held.mode is Mode.ENFORCE and hits.packets > 0


def _ending(held: Signature) -> bool:
    """Whether a detector's rule is about to end; tags of operators' rules do not count."""
    return tags.ENDING in held.tags and automatic(held)


class Releases:
    """Removes ended rules that have become quiet, once a second; `step` does so once."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._pulse = Activity()
        task = PeriodicTask(
            "releases", _STEP_SECONDS, self.step, "release check failed; ended rules are kept"
        )
        self.start, self.stop = task.start, task.stop

    def step(self, now: float) -> list[str]:
        """Remove rules that have been quiet for long enough; return their ids."""
        signatures = list(self._controller.state.signatures.values())
        ending = {held.id: held for held in signatures if _ending(held)}
        self._pulse.keep(ending)
        quiet = [held for held in ending.values() if self._quiet(held, now)]
        if quiet:
            self._controller.submit(lambda draft: self._remove(draft, quiet)).result()
        return [held.id for held in quiet]

    def _quiet(self, held: Signature, now: float) -> bool:
        loud, seconds = self._pulse.feel(held.id, self._controller.hits(held).packets, now)
        return not loud and seconds >= _QUIET_SECONDS

    def _remove(self, draft: Draft, quiet: Iterable[Signature]) -> None:
        for held in quiet:
            standing = draft.signature(held.id)
            if standing is None or not _ending(standing):
                continue  # the event began again in the meantime
            hits = self._controller.hits(standing)
            ledger.rule_ended(draft, standing, hits, _WHY)
            draft.remove_signature(standing.id)
            detail = {"packets": hits.packets, "bytes": hits.bytes}
            draft.note(standing.origin, "rule.released", standing.id, **detail)
