"""Whose event a rule is stands in its tags, so its end is found by whoever runs then."""

import hashlib

from xdpctl.detectors.event import Event
from xdpctl.incidents.ledger import EVENT_TAG

_GROUP_TAG = "group-"
ENDING_TAG = "ending"
WATCHED_TAG = "watched"  # in monitor mode until it has been watched for long enough
RAISED_TAG = "raised"  # a limit that became a drop


def going(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Without the mark of one that has ended."""
    return tuple(tag for tag in tags if tag != ENDING_TAG)


def of(detector: str, event: Event) -> tuple[str, ...]:
    """Of the event, then of its group."""
    tags = [EVENT_TAG + _short(detector, event.id)] if event.id else []
    return tuple(tags + ([_GROUP_TAG + _short(detector, event.group)] if event.group else []))


def _short(detector: str, identity: str) -> str:
    return hashlib.sha256(f"{detector}\0{identity}".encode()).hexdigest()[:16]
