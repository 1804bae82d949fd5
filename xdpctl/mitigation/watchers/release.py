# SPDX-License-Identifier: GPL-2.0-or-later
"""What a detector has ended and still hits stays until it is quiet: nothing is opened to look."""

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
_WHY = "the detector ended it, and it was quiet"


def held_back(held: object, hits: Hits) -> bool:
    """Whether a rule that a detector ended should be looked at before it goes."""
    return isinstance(held, Signature) and held.mode is Mode.ENFORCE and hits.packets > 0


def _ending(held: Signature) -> bool:
    """A detector's; an operator may tag his own as he likes."""
    return tags.ENDING in held.tags and automatic(held)


class Releases:
    """Start it, stop it; `step` looks once."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._pulse = Activity()
        beat = PeriodicTask(
            "releases", _STEP_SECONDS, self.step, "release check failed; ended rules are kept"
        )
        self.start, self.stop = beat.start, beat.stop

    def step(self, now: float) -> list[str]:
        """Take away what has been quiet for long enough; the ids."""
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
                continue  # it began again meanwhile
            hits = self._controller.hits(standing)
            ledger.rule_ended(draft, standing, hits, _WHY)
            draft.remove_signature(standing.id)
            told = {"packets": hits.packets, "bytes": hits.bytes}
            draft.note(standing.origin, "rule.released", standing.id, **told)
