"""A rule that stands when a detector asks for it again. Pure."""

from xdpctl.asks import Ask
from xdpctl.clock import Now
from xdpctl.errors import ConflictError
from xdpctl.model import Action, Mode, Rule
from xdpctl.response import marks
from xdpctl.signatures.model import Signature
from xdpctl.signatures.operations import SignatureAsk


def extended(
    standing: Rule | Signature, ask: Ask | SignatureAsk, detector: str, now: Now
) -> Rule | Signature:
    """As it stands from now on: longer, and no step down its ladder.

    ConflictError if somebody accepts that source; the rule of another is left to them.
    """
    if standing.action is Action.ACCEPT:
        raise ConflictError(f"{standing.origin} accepts {standing.subject}", "", "")
    if standing.origin != detector:
        return standing  # another holds it, and ends it
    ends = now.after(ask.ttl) if ask.ttl is not None else 0
    asked = {}
    if isinstance(ask, SignatureAsk) and marks.RAISED_TAG not in standing.tags:
        asked = {"action": ask.action, "limit": ask.limit}
    return standing.but(
        **asked,
        mode=Mode.MONITOR if marks.WATCHED_TAG in standing.tags else ask.mode,
        reason=ask.reason,
        expires_ns=max(standing.expires_ns, ends) if standing.expires_ns else 0,
        tags=tuple(dict.fromkeys((*marks.going(standing.tags), *ask.tags))),
    )
