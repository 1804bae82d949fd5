# SPDX-License-Identifier: GPL-2.0-or-later
"""Suricata's eve.json, followed over rotations and restarts."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from xdpctl.detectors.follow.tail import FilePosition, Tail, end_of, keep, recall
from xdpctl.errors import ConfigError

_BATCH, _BATCH_BYTES = 200, 1 << 20  # of alerts handed on at once
_LOOK_SECONDS = 0.2
log = logging.getLogger("xdpctl.follow")
_ALERT = b'"event_type":"alert"'


def follow(
    eve: Path, state: Path, give: Callable[[bytes], bool], wait: Callable[[float], bool]
) -> None:
    """Until `wait(seconds)` or `give(body)` says that we are to end.

    What was given is remembered in `state`, and what was not is not. ConfigError if that cannot be
    written; should the disk fill up later, a restart says some alerts again.
    """
    place = recall(state) or end_of(eve)
    try:
        keep(state, place)
    except OSError as error:
        raise ConfigError(f"{state} cannot be written: {error.strerror}; give --state") from error
    tail = Tail(eve, place)
    try:
        while True:
            for body, behind in _batches(tail):
                if body and not give(body):
                    return
                if behind != place:
                    _remember(state, behind)
                    place = behind
            if wait(_LOOK_SECONDS):
                return
    finally:
        tail.close()


def _remember(state: Path, place: FilePosition) -> None:
    try:
        keep(state, place)
    except OSError as error:
        log.warning("the place in the file is not remembered: %s", error)


def _batches(tail: Tail) -> Iterator[tuple[bytes, FilePosition]]:
    """Alerts, some at a time, and the place behind them."""
    alerts: list[bytes] = []
    size = 0
    for line in tail.lines():
        if _ALERT in line.replace(b" ", b""):
            alerts.append(line)
            size += len(line)
        if len(alerts) >= _BATCH or size >= _BATCH_BYTES:
            yield b"\n".join(alerts), tail.place
            alerts, size = [], 0
    yield b"\n".join(alerts), tail.place
