# SPDX-License-Identifier: GPL-2.0-or-later
"""Tags that xdpctl itself gives to rules: the event, group and incident, and states. Pure."""

from collections.abc import Iterable

from xdpctl.errors import RuleError

EVENT, GROUP, INCIDENT = "event-", "group-", "incident-"
ENDING = "ending"  # its detector ended the rule, which stays until it hits nothing any more
WATCHED = "watched"  # in monitor mode until it has been watched for long enough
RAISED = "raised"  # a limit that became a drop
SOFTENED = "softened"  # a rule that hit people, and became a limit that lets them pass
PINNED = "pinned"  # an operator changed what the rule does, so detectors may not
ARMED = "armed-"  # followed by the name of a node whose detector made the rule
RELEASED = "released"  # an operator lets it pass, whatever detectors say
_STATES = frozenset((ENDING, WATCHED, RAISED, SOFTENED, PINNED, RELEASED))
_EVENTS_KEPT, _GROUP_SHOWN = 16, 8
Tags = tuple[str, ...]


def ours(tag: str) -> bool:
    """Whether it is a tag that xdpctl itself gives."""
    return tag in _STATES or tag.startswith((EVENT, GROUP, INCIDENT, ARMED))


def armed(tags: Iterable[str]) -> Tags:
    """The tags of nodes whose detectors made the rule."""
    return tuple(tag for tag in tags if tag.startswith(ARMED))


def event(name: str, group: str) -> str:
    """The tag of an event; it includes the group, so that the end of a group finds its events."""
    return EVENT + name + ("." + group[:_GROUP_SHOWN] if group else "")


def ends(tag: str, current: str) -> bool:
    """Whether the end of the event or group with `tag` removes the tag `current` of a rule."""
    if not tag.startswith(GROUP):
        return tag == current
    of_group = "." + tag.removeprefix(GROUP)[:_GROUP_SHOWN]
    return tag == current or (current.startswith(EVENT) and current.endswith(of_group))


def of_event(tags: Iterable[str]) -> bool:
    """Whether a rule with these tags belongs to a detector's event."""
    return any(tag.startswith(EVENT) for tag in tags)


def events(tags: Iterable[str]) -> Tags:
    return tuple(tag for tag in tags if tag.startswith(EVENT))


def without(tags: Tags, *gone: str) -> Tags:
    """The tags that are not in `gone`, in their order."""
    return tuple(tag for tag in tags if tag not in gone)


def joined(current: Tags, more: Tags) -> Tags:
    """The tags of both lists; only the newest events and groups, and only the first incident."""
    both = list(dict.fromkeys((*current, *more)))
    events = [tag for tag in both if tag.startswith((EVENT, GROUP))]
    incidents = [tag for tag in both if tag.startswith(INCIDENT)]
    return without(tuple(both), *events[:-_EVENTS_KEPT], *incidents[1:])


def incident_of(tags: Iterable[str]) -> str:
    """The id of the incident that a rule with these tags belongs to; empty if there is none."""
    ids = (tag.removeprefix(INCIDENT) for tag in tags if tag.startswith(INCIDENT))
    return next(ids, "")


def of_incident(tags: Tags, tag: str) -> Tags:
    """The tags with the incident replaced by the one of `tag`."""
    return (*(other for other in tags if not other.startswith(INCIDENT)), tag)


def given(current: Tags, requested: Tags) -> Tags:
    """The tags after a caller replaced them by `asked`; xdpctl's own tags stay.

    RuleError for a tag of xdpctl's own that the rule does not have.
    """
    reserved = next((tag for tag in requested if ours(tag) and tag not in current), None)
    if reserved is not None:
        raise RuleError(
            f"the tag {reserved!r} is one that xdpctl gives itself", "tags", "use another name"
        )
    return (*filter(ours, current), *(tag for tag in requested if not ours(tag)))


def taken_over(current: Tags) -> Tags:
    """The tags after an operator took the rule over: it keeps its incident, but no event."""
    return tuple(tag for tag in current if not ours(tag) or tag.startswith(INCIDENT))


def pinned(current: Tags) -> Tags:
    """The tags after an operator changed a detector's rule."""
    return (*without(current, WATCHED, PINNED), PINNED)
