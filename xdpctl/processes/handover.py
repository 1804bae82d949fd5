# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane's part in putting a filter in the place of an earlier one with other maps.

When the new filter has all rules, packets are run through the explain programs of both. If all are
decided alike, the loader is told that the maps are filled, and swaps the programs.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice

from xdpctl.abi.constants import Filled, SlotNumber
from xdpctl.abi.structs import Hits
from xdpctl.base.net import packets
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.system import sd_notify
from xdpctl.control import sample_packets
from xdpctl.control.state.state import State
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.other_filter import Judge, OtherHits, judges
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.errors import DatapathError
from xdpctl.model.match.components import UDP

_PROGRAM_SECONDS, _SWAP_SECONDS, _POLL_SECONDS = 60.0, 75.0, 0.05
_CHECK_SECONDS = 60.0  # a busy box has to start within these
_HITS_MAX = 20_000  # rules whose hits are kept: each costs two runs of an explain program
_NAMED = 3  # differences that an error names
log = logging.getLogger("xdpctl.api")


def hand_over(
    pins: Pins, datapath: PinnedDatapath, state: State, people: Callable[[], Iterable[Prefix]]
) -> None:
    """Let this filled filter take the place of the earlier one, and wait until it is in force.

    DatapathError if the filters decide packets of rules, of `people` or of anybody differently, or
    if the loader does not put it in place; the earlier filter stays in force.
    """
    earlier = Pins(pins.directory)
    if earlier.name in ("", pins.name):
        datapath.filled = Filled.ALL
        return
    earlier = Pins(pins.directory, earlier.name)
    sd_notify.extend(_PROGRAM_SECONDS + _CHECK_SECONDS + _SWAP_SECONDS)
    if not _awaited(lambda: _explains(pins), _PROGRAM_SECONDS):
        raise DatapathError("the loader has not loaded the explain program of the new filter")
    if datapath.filled is Filled.UNCHECKED:
        log.warning("the new filter takes over without a check, as somebody decided")
    else:
        _check(earlier, pins, datapath, state, list(people()))
    _keep_hits(earlier, pins, datapath, state)
    datapath.filled = Filled.ALL
    log.info("the new filter has all rules; the loader puts it in place")
    if not _awaited(lambda: Pins(pins.directory).name == pins.name, _SWAP_SECONDS):
        raise DatapathError(
            f"the loader has not put the new filter in place for {_SWAP_SECONDS:.0f} s; the "
            "earlier one stays in force. `systemctl status xdpctl-loader` says why"
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


def _explains(pins: Pins) -> bool:
    return any(pins.explain_of(outside).exists() for outside in (False, True))


def _check(
    earlier: Pins, pins: Pins, datapath: PinnedDatapath, state: State, people: list[Prefix]
) -> None:
    """DatapathError if the filters decide a packet differently, twice in a row."""
    with judges(earlier, pins) as by_side:
        if not by_side:
            log.warning("the earlier filter has no explain program, so the two are not compared")
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


def _different(differing: list[bytes], ours: Judge, total: int) -> DatapathError:
    def told(frame: bytes) -> str:
        changes = ("dropped", "passes") if not ours.stops(frame) else ("passes", "dropped")
        return f"{packets.summary(frame)} ({changes[0]} now, {changes[1]} then)"

    named = "; ".join(map(told, differing[:_NAMED]))
    return DatapathError(
        f"the new filter decides {len(differing)} of {total} sampled packets differently, so the "
        f"earlier one stays in force: {named}. Install the earlier version again, or, if that is "
        "right, run: xdpctl upgrade --accept-differences"
    )


def _keep_hits(earlier: Pins, pins: Pins, datapath: PinnedDatapath, state: State) -> None:
    """Copy the hits of rules and sets, which the store does not have."""
    slots = [rule.slot for rule in state.matches.values()]
    slots += [source_set.slot for source_set in state.sets.values()]
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
