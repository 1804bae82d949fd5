# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows Suricata's eve.json across rotations and restarts."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from xdpctl.detectors.follow.tail import FilePosition, Tail, end_of, keep, recall
from xdpctl.errors import ConfigError

_BATCH, _BATCH_BYTES = 200, 1 << 20  # maximum number and bytes of alerts passed on at once
_LOOK_SECONDS = 0.2
log = logging.getLogger("xdpctl.follow")
_ALERT = b'"event_type":"alert"'


def follow(
    eve: Path, state: Path, give: Callable[[bytes], bool], wait: Callable[[float], bool]
) -> None:
    """Pass alerts on to `give(body)`, until it returns False or `wait(seconds)` returns True.

    The position after the last alerts passed on is kept in the file `state`. ConfigError if it
    cannot be written at the start; if it cannot be written later, a restart repeats some alerts.
    """
    place = recall(state) or end_of(eve)
    try:
        keep(state, place)
    except OSError as error:
        raise ConfigError(f"{state} cannot be written: {error.strerror}; give --state") from error
    tail, problem = Tail(eve, place), ""
    try:
        while True:
            for body, behind in _batches(tail):
                if body and not give(body):
                    return
                if behind != place:
                    _remember(state, behind)
                    place = behind
            if tail.problem != problem:
                problem = tail.problem
                _tell(eve, problem)
            if wait(_LOOK_SECONDS):
                return
    finally:
        tail.close()


def _tell(eve: Path, problem: str) -> None:
    if problem:
        log.error("%s cannot be read: %s. No alerts arrive until it can", eve, problem)
    else:
        log.info("%s can be read", eve)


def _remember(state: Path, place: FilePosition) -> None:
    try:
        keep(state, place)
    except OSError as error:
        log.warning("cannot save the position in the file: %s", error)


def _batches(tail: Tail) -> Iterator[tuple[bytes, FilePosition]]:
    """Batches of alerts, each with the position after it."""
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
