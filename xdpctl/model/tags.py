# SPDX-License-Identifier: GPL-2.0-or-later
"""Tags that xdpctl itself gives to rules: whose they are, and how far they have come. Pure."""

from collections.abc import Iterable

EVENT, GROUP, INCIDENT = "event-", "group-", "incident-"
ENDING = "ending"  # its detector ended it, and it stays until it is quiet
WATCHED = "watched"  # in monitor mode until it has been watched for long enough
RAISED = "raised"  # a limit that became a drop
PINNED = "pinned"  # an operator changed what it does, so no detector does
_STATES = frozenset((ENDING, WATCHED, RAISED, PINNED))
_EVENTS_KEPT, _GROUP_SHOWN = 16, 8
Tags = tuple[str, ...]


def ours(tag: str) -> bool:
    """Whether xdpctl gives such tags itself."""
    return tag in _STATES or tag.startswith((EVENT, GROUP, INCIDENT))


def event(name: str, group: str) -> str:
    """Of an event, and of its group if it has one: its end finds those of its events."""
    return EVENT + name + ("." + group[:_GROUP_SHOWN] if group else "")


def ends(tag: str, held: str) -> bool:
    """Whether the end of an event or of a group, by its tag, takes away a tag that a rule has."""
    if not tag.startswith(GROUP):
        return tag == held
    of_group = "." + tag.removeprefix(GROUP)[:_GROUP_SHOWN]
    return tag == held or (held.startswith(EVENT) and held.endswith(of_group))


def of_event(tags: Iterable[str]) -> bool:
    """Whether a detector's event holds a rule with these tags."""
    return any(tag.startswith(EVENT) for tag in tags)


def without(tags: Tags, *gone: str) -> Tags:
    """The tags that are not among `gone`, in their order."""
    return tuple(tag for tag in tags if tag not in gone)


def joined(held: Tags, more: Tags) -> Tags:
    """Both; of the events the newest, of the incidents the first."""
    both = list(dict.fromkeys((*held, *more)))
    events = [tag for tag in both if tag.startswith((EVENT, GROUP))]
    incidents = [tag for tag in both if tag.startswith(INCIDENT)]
    return without(tuple(both), *events[:-_EVENTS_KEPT], *incidents[1:])


def of_incident(tags: Tags, tag: str) -> Tags:
    """Of that one alone from now on."""
    return (*(one for one in tags if not one.startswith(INCIDENT)), tag)


def given(held: Tags, asked: Tags) -> Tags:
    """What somebody asks for instead of those held: ours stay."""
    return (*filter(ours, held), *(tag for tag in asked if not ours(tag)))


def taken_over(held: Tags) -> Tags:
    """An operator holds the rule from now on: it is of its incident still, and of no event."""
    return tuple(tag for tag in held if not ours(tag) or tag.startswith(INCIDENT))


def pinned(held: Tags) -> Tags:
    """An operator changed a detector's rule."""
    return (*without(held, WATCHED, PINNED), PINNED)
