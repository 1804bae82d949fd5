"""What protects a victim, step by step: watched, then limited, then dropped.

How long a limit has been exceeded is not kept over a restart.
"""

from collections.abc import Callable

from xdpctl.beat import Beat
from xdpctl.clock import Now
from xdpctl.controller import Controller
from xdpctl.draft import Draft
from xdpctl.incidents import ledger
from xdpctl.incidents.ledger import EVENT_TAG
from xdpctl.model import Action, Automatic, Mode
from xdpctl.response.marks import ENDING_TAG, RAISED_TAG, WATCHED_TAG
from xdpctl.response.pulse import Pulse
from xdpctl.response.settings import LadderSettings
from xdpctl.signatures.model import Signature

_STEP_SECONDS = 1.0


class Ladder:
    """Start it, stop it; `step` looks once.

    `settings` tells the steps there are, `mode_of` whether a detector is obeyed: while it is not,
    nothing moves.
    """

    def __init__(
        self,
        controller: Controller,
        settings: Callable[[], LadderSettings],
        mode_of: Callable[[str], Automatic],
    ) -> None:
        self._controller, self._settings, self._mode_of = controller, settings, mode_of
        self._pulse = Pulse()
        beat = Beat("ladder", _STEP_SECONDS, self.step, "no rule goes on to its next step for now")
        self.start, self.stop = beat.start, beat.stop

    def step(self, now: float) -> list[str]:
        """Let those go on whose time has come; their ids."""
        held = list(self._controller.state.signatures.values())
        steps = [one for one in held if self._climbs(one)]
        self._pulse.keep({one.id for one in steps})
        clock = self._controller.clock.read()
        due = [one for one in steps if self._due(one, now, clock)]
        if due:
            self._controller.submit(lambda draft: _raise(draft, due)).result()
        return [one.id for one in due]

    def _climbs(self, held: Signature) -> bool:
        automatic = any(tag.startswith(EVENT_TAG) for tag in held.tags)
        going = automatic and ENDING_TAG not in held.tags
        limits = held.action is Action.LIMIT and held.mode is Mode.ENFORCE
        return (
            going
            and (WATCHED_TAG in held.tags or limits)
            and self._mode_of(held.origin) is Automatic.ON
        )

    def _due(self, held: Signature, now: float, clock: Now) -> bool:
        ladder = self._settings()
        if WATCHED_TAG in held.tags:
            return clock.unix - held.created_at >= ladder.shadow
        loud, seconds = self._pulse.feel(held.id, self._controller.hits(held).packets, now)
        return loud and seconds >= ladder.limit


def _raise(draft: Draft, due: list[Signature]) -> None:
    for held in due:
        standing = draft.signature(held.id)
        if standing is None or standing.tags != held.tags:
            continue  # it was changed meanwhile
        if WATCHED_TAG in standing.tags:
            tags = tuple(tag for tag in standing.tags if tag != WATCHED_TAG)
            raised, why = standing.but(mode=Mode.ENFORCE, tags=tags), "it was watched long enough"
        else:
            tags = (*standing.tags, RAISED_TAG)
            raised = standing.but(action=Action.DROP, limit=None, tags=tags)
            why = f"{standing.limit} was exceeded for too long"
        draft.put_signature(raised)
        ledger.raised(draft, raised, why)
        draft.note(raised.origin, "rule.raised", raised.id, action=raised.action.value, why=why)
