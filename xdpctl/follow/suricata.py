"""Suricata's eve.json, followed over rotations and restarts."""

from collections.abc import Callable, Iterator
from pathlib import Path

from xdpctl.follow.tail import Place, Tail, end_of, keep, recall

_BATCH = 200  # alerts handed on at once
_LOOK_SECONDS = 0.2
_ALERT = b'"event_type":"alert"'


def follow(
    eve: Path, state: Path, give: Callable[[bytes], bool], wait: Callable[[float], bool]
) -> None:
    """Until `wait(seconds)` or `give(body)` says that we are to end.

    What was given is remembered in `state`, and what was not is not.
    """
    place = recall(state) or end_of(eve)
    tail = Tail(eve, place)
    try:
        while True:
            for body, behind in _batches(tail):
                if body and not give(body):
                    return
                if behind != place:
                    keep(state, behind)
                    place = behind
            if wait(_LOOK_SECONDS):
                return
    finally:
        tail.close()


def _batches(tail: Tail) -> Iterator[tuple[bytes, Place]]:
    """Alerts, some at a time, and the place behind them."""
    alerts: list[bytes] = []
    for line in tail.lines():
        if _ALERT in line.replace(b" ", b""):
            alerts.append(line)
        if len(alerts) >= _BATCH:
            yield b"\n".join(alerts), tail.place
            alerts = []
    yield b"\n".join(alerts), tail.place
