# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations on sets as calls of a running controller, and a fake kernel that records writes."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future

import pytest

from tests.support.fakes import ROOT, FakeDatapath, by
from tests.support.spaces import entries, prefixes_of
from xdpctl.abi.constants import SlotNumber
from xdpctl.control.controller import Controller
from xdpctl.control.operations import sets
from xdpctl.control.operations.sets import Changed, SetRequest
from xdpctl.control.store.port import KeyChange
from xdpctl.datapath.image import Plan
from xdpctl.datapath.writes import PointAllAt, Write
from xdpctl.errors import XdpctlError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.identity import Caller
from xdpctl.model.source_set import SourceSet

LOW, HIGH = SlotNumber.SETS, SlotNumber.FIRST - 1  # first slots of accepting and dropping sets


class Recorder(FakeDatapath):
    """A fake datapath that records every write."""

    def __init__(self, capacity: int = 16) -> None:
        super().__init__(capacity)
        self.writes: list[Write] = []

    def apply(self, plan: Plan) -> None:
        self.writes += plan.writes
        super().apply(plan)

    def led(self) -> int:
        """The number of entries written since the last call; clears the record."""
        led = sum(len(write.keys) for write in self.writes if isinstance(write, PointAllAt))
        self.writes = []
        return led


def wanted(
    name: str,
    *texts: str,
    action: str | None = "drop",
    mode: str | None = "enforce",
    **more: object,
) -> SetRequest:
    """A request for a set of these prefixes."""
    fields = {"entries": entries(*texts), **more}
    fields |= {"action": action and Action(action), "mode": mode and Mode(mode)}
    return SetRequest(name=name, **fields)  # type: ignore[arg-type]


def submit(
    control: Controller, ask: SetRequest, caller: Caller = ROOT, etag: str | None = None
) -> Future[Changed]:
    return control.submit(lambda draft: sets.put(draft, ask, caller, etag), by(caller))


def put(
    control: Controller, ask: SetRequest, caller: Caller = ROOT, etag: str | None = None
) -> Changed:
    return submit(control, ask, caller, etag).result()


def change(
    control: Controller,
    name: str,
    caller: Caller = ROOT,
    etag: str | None = None,
    **changes: object,
) -> Changed:
    operation = lambda draft: sets.change(draft, name, changes, caller, etag)  # noqa: E731
    return control.submit(operation, by(caller)).result()


def remove(
    control: Controller, name: str, caller: Caller = ROOT, etag: str | None = None, **hits: int
) -> SourceSet:
    operation = lambda draft: sets.remove(draft, name, caller, etag, hits)  # noqa: E731
    return control.submit(operation, by(caller)).result()


def listed(datapath: FakeDatapath, slot: int) -> set[str]:
    """The prefixes that lead to a slot in the fake kernel."""
    return {str(prefix) for prefix, slots in datapath.listed().items() if slot in slots}


def texts(control: Controller, name: str) -> list[str]:
    """The entries of a set in the controller's state."""
    return [str(prefix) for prefix in prefixes_of(control.state.entries[name])]


def hosts(count: int, first: int = 0, net: int = 45) -> list[str]:
    """`count` public addresses."""
    return [f"{net}.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(first, first + count)]


def picture(control: Controller) -> Mapping[str, object]:
    """Everything that a refused change must not affect: the store, the state, the kernel."""
    state, datapath = control.state, control.datapath
    assert isinstance(datapath, FakeDatapath)
    stored = [change for change in control.store.watch(None) if isinstance(change, KeyChange)]
    return {
        "sets": dict(state.sets),
        "entries": {name: texts(control, name) for name in state.entries},
        "rules": dict(state.rules),
        "kernel": datapath.listed(),
        "words": datapath.source.words[:80].tolist(),
        "used": [state.used(4), state.used(6)],
        "store": {change.key: change.value for change in stored},
        "audit": len(control.store.audit()),
    }


def refused(
    control: Controller, error: type[XdpctlError], says: str, call: Callable[[], object]
) -> XdpctlError:
    """Make a call that must fail and change nothing; return the error."""
    before = picture(control)
    with pytest.raises(error, match=says) as caught:
        call()
    assert picture(control) == before
    return caught.value
