# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane's part in putting a filter in the place of an earlier one with other maps.

When the new filter has all rules, packets are run through the explain programs of both. If all are
decided alike, the loader is told that the maps are filled, and swaps the programs.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from itertools import islice

from xdpctl.abi.constants import Filled, SlotNumber
from xdpctl.abi.structs import Hits
from xdpctl.base.net import packets
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Connections
from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.system import sd_notify
from xdpctl.control import sample_packets
from xdpctl.control.state.state import State
from xdpctl.datapath import emergency_bypass
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.comparison import Judge, OtherHits, is_taken_unchecked, judges
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.errors import DatapathError, SchemaError
from xdpctl.model.match.components import UDP

_PROGRAM_SECONDS, _SWAP_SECONDS, _POLL_SECONDS = 60.0, 75.0, 0.05
_CHECK_SECONDS = 60.0  # a busy box has to start within these
_HITS_MAX = 20_000  # rules whose hits are kept: each costs two runs of an explain program
_PEOPLE_MAX = 2_000
_FOLLOW_SECONDS = 1.0
_NAMED = 3  # differences and records that an error names
_ACCEPT = "xdpctl upgrade --accept-differences"
log = logging.getLogger("xdpctl.api")


class NotTakenOver(DatapathError):
    """The earlier filter stays in force."""


def hand_over(
    pins: Pins,
    datapath: PinnedDatapath,
    state: State,
    people: Callable[[], Iterable[Prefix]],
    sides: Collection[bool],
) -> None:
    """Let this filled filter take the place of the earlier one, and wait until it is in force.

    `sides`: whether interfaces are outside, for each side in use. NotTakenOver if the filters
    decide packets of rules, of `people` or of anybody differently, if the store has lost rules that
    the earlier filter may have, or if the loader does not put it in place.
    """
    earlier = _earlier(pins)
    if earlier is None:
        return
    sd_notify.extend(_PROGRAM_SECONDS + _CHECK_SECONDS + _SWAP_SECONDS)
    if not _awaited(lambda: _explains(pins, sides), _PROGRAM_SECONDS):
        raise NotTakenOver("the loader has not loaded the explain programs of the new filter")
    unchecked = datapath.filled is Filled.UNCHECKED
    if unchecked:
        log.warning("the new filter takes over without a check, as somebody decided")
    else:
        _refuse_losses(state)
        _refuse_bypass(earlier, pins)
        _check(earlier, pins, datapath, state, list(islice(people(), _PEOPLE_MAX)), sides)
    _keep_hits(earlier, pins, datapath, state)
    log.info("the new filter has all rules; the loader puts it in place")

    def in_force() -> bool:
        datapath.filled = Filled.ALL  # again and again: a loader that starts forgets it
        return Pins(pins.directory).name == pins.name

    if not _awaited(in_force, _SWAP_SECONDS):
        datapath.filled = Filled.NOT
        raise NotTakenOver(
            f"the loader has not put the new filter in place for {_SWAP_SECONDS:.0f} s; the "
            "earlier one stays in force. `xdpctl upgrade` says why"
        )


def _earlier(pins: Pins) -> Pins | None:
    """The filter in force, unless it is this one or there is none."""
    name = Pins(pins.directory).name
    return None if name in ("", pins.name) else Pins(pins.directory, name)


def refuse_new_store(pins: Pins, datapath: PinnedDatapath) -> None:
    """NotTakenOver if a filter is in force, whose rules an empty store does not have.

    To be called before anything is stored: a store that has something is not known to be empty.
    """
    if _earlier(pins) and datapath.filled is not Filled.UNCHECKED:
        raise NotTakenOver(
            "the store is empty although a filter is in force: its rules would be lost. Put the "
            "store back, or start the version and settings of that filter, which recover its "
            f"rules. If it has none: {_ACCEPT}"
        )


def _refuse_losses(state: State) -> None:
    """NotTakenOver if the earlier filter may have rules that the store does not give."""
    if state.unreadable:
        named = ", ".join(list(state.unreadable)[:_NAMED])
        raise NotTakenOver(
            f"{len(state.unreadable)} records of the store cannot be read by this version, and the "
            f"earlier filter has them in force: {named}. Install the version again that wrote "
            f"them, or remove them, or lose them: {_ACCEPT}"
        )


def _refuse_bypass(*filters: Pins) -> None:
    """NotTakenOver if the bypass is on: then a filter passes everything, whatever its rules."""
    if any(emergency_bypass.pressed(pins) for pins in filters):
        raise NotTakenOver(
            "the bypass is on, so the filters cannot be compared, and the earlier one stays in "
            "force. Turn it off (xdpctl bypass off) and restart this process, or lose the "
            f"comparison: {_ACCEPT}"
        )


def begin(pins: Pins, datapath: PinnedDatapath) -> None:
    """Note that this filter may lack rules, so the loader does not put it in place yet."""
    if datapath.filled is not Filled.UNCHECKED and Pins(pins.directory).name != pins.name:
        datapath.filled = Filled.NOT


def _awaited(happened: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _explains(pins: Pins, sides: Collection[bool]) -> bool:
    return all(pins.explain_of(outside).exists() for outside in sides)


def _check(
    earlier: Pins,
    pins: Pins,
    datapath: PinnedDatapath,
    state: State,
    people: list[Prefix],
    sides: Collection[bool],
) -> None:
    """NotTakenOver if the filters decide a packet differently, twice in a row."""
    with judges(earlier, pins) as by_side:
        for outside in set(sides) - by_side.keys():
            side = "outside" if outside else "inside"
            lacks = f"the earlier filter has no explain program for {side} interfaces"
            if not earlier.of_this_version:
                raise NotTakenOver(
                    f"{lacks}, so they cannot be compared, and it stays in force. If an interface "
                    "has another side now, change that before or after. If that is what you want: "
                    f"{_ACCEPT}"
                )
            log.warning("%s, so they are not compared; its programs are those of this one", lacks)
        for outside, (theirs, ours) in by_side.items():
            frames = list(sample_packets.of_state(state, people))
            differing = [frame for frame in frames if theirs.stops(frame) != ours.stops(frame)]
            # a rule may end between the two runs, and rates and trials decide by time and chance
            differing = [
                frame
                for frame in differing
                if theirs.stops(frame) != ours.stops(frame)
                and sample_packets.certain(state, datapath.explain(frame, outside).slots)
            ]
            if differing:
                raise _different(differing, ours, len(frames))
            log.info("the new filter decides %d sampled packets as the earlier one", len(frames))


def _different(differing: list[bytes], ours: Judge, total: int) -> NotTakenOver:
    def told(frame: bytes) -> str:
        changes = ("dropped", "passes") if not ours.stops(frame) else ("passes", "dropped")
        return f"{packets.summary(frame)} ({changes[0]} now, {changes[1]} then)"

    named = "; ".join(map(told, differing[:_NAMED]))
    return NotTakenOver(
        f"the new filter decides {len(differing)} of {total} sampled packets differently, so the "
        f"earlier one stays in force: {named}. Install the earlier version again, or undo other "
        f"changes of the settings, or, if that is what you want: {_ACCEPT}"
    )


def _keep_hits(earlier: Pins, pins: Pins, datapath: PinnedDatapath, state: State) -> None:
    """Copy the hits of rules and sets, which the store does not have."""
    slots = [rule.slot for rule in list(state.matches.values())]  # rules may end meanwhile
    slots += [source_set.slot for source_set in list(state.sets.values())]
    with closing(OtherHits(earlier)) as hits:
        counted = {slot: hits.of(slot) for slot in slots}
        with judges(earlier, pins) as by_side:
            for theirs, ours in islice(by_side.values(), 1):
                counted |= dict(_hits_of_sources(state, hits, theirs, ours))
    datapath.put_hits({slot: total for slot, total in counted.items() if total.packets})


def _hits_of_sources(
    state: State, hits: OtherHits, theirs: Judge, ours: Judge
) -> Iterator[tuple[int, Hits]]:
    """The hits of rules on a source alone; their slots are found by a packet of the source."""
    for source, slot in islice(sample_packets.slots_of_rules(state), _HITS_MAX):
        address = Prefix(source.address, 8 * len(source.address))
        frame = packets.build(address, sample_packets.nowhere(source.family), UDP, 53, 40_000)
        if ours.slot(frame) == slot and (before := theirs.slot(frame)) != SlotNumber.NONE:
            yield slot, hits.of(before)


def following(pins: Pins, refused: str) -> PeriodicTask:
    """Ends this process when there is another filter to fill: its next start fills that one.

    `refused` is the name of a filter that cannot take over, "" for none. For that one this process
    ends only if it is in force all the same, or if somebody decides that it takes over.
    """

    def step(_: float) -> None:
        try:
            other = Pins.to_fill(pins.directory).name
        except SchemaError:
            other = "of another version"
        if refused and Pins(pins.directory).name == refused:
            log.warning("another filter is in force: starting again to serve it")
        elif refused and other == refused and is_taken_unchecked(Pins(pins.directory, refused)):
            log.warning("starting again, to put the new filter in place without a check")
        elif other not in ("", pins.name, refused):
            log.warning("the loader has made a filter with other maps: starting again to fill it")
        else:
            return
        os.kill(os.getpid(), signal.SIGTERM)

    trouble = "it is not known which filter is in force"
    return PeriodicTask("filter", _FOLLOW_SECONDS, step, trouble)


def peers() -> Iterator[Prefix]:
    """The other ends of this host's TCP connections."""
    return (Prefix(peer, 8 * len(peer)) for peer in Connections().now())
