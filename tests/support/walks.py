# SPDX-License-Identifier: GPL-2.0-or-later
"""Applying plans write by write, in a space of sixteen addresses whose verdicts are checked."""

from collections.abc import Iterator, Mapping

from hypothesis import strategies as st

from tests.support.fakes import FakeDatapath
from tests.support.spaces import space
from xdpctl.abi.constants import Action, Mode, Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.image import PROTECTED, Image, Plan, Target, own_slot
from xdpctl.datapath.plan import differences, transition
from xdpctl.datapath.writes import PointAllAt, Write

NOW = 1664
TARGETS = {
    "drop": own_slot(Action.DROP, Mode.ENFORCE, 0),
    "drop for a while": own_slot(Action.DROP, Mode.ENFORCE, NOW + 1),
    "accept": own_slot(Action.ACCEPT, Mode.ENFORCE, 0),
    "monitor": own_slot(Action.DROP, Mode.MONITOR, 0),
    "expired": own_slot(Action.ACCEPT, Mode.ENFORCE, NOW),
    "protected": PROTECTED,
}
NETS = (bytes((203, 0, 113, 8)), bytes.fromhex("20010db8") + bytes(11) + bytes((8,)))


PREFIXES = [prefix for net in NETS for prefix in space(net, 3)]
ADDRESSES = [prefix.address for prefix in PREFIXES if prefix.exact]
tables = st.dictionaries(
    st.sampled_from(PREFIXES), st.sampled_from(sorted(TARGETS)).map(TARGETS.__getitem__)
)


def verdicts(kernel: FakeDatapath) -> list[Reason]:
    return [kernel.decide(address, NOW) for address in ADDRESSES]


def single(write: Write) -> Iterator[Write]:
    """Split a write of many prefixes into writes of one prefix each."""
    if isinstance(write, PointAllAt):
        for at in range(len(write.keys)):
            yield write._replace(keys=write.keys[at : at + 1])
    else:
        yield write


def walk(kernel: FakeDatapath, image: Image, plan: Plan) -> Iterator[Write]:
    """Apply a plan, yielding after each write."""
    for many in plan.writes:
        for write in single(many):
            kernel.write(write)
            yield write
    image.commit(plan)


def change(kernel: FakeDatapath, image: Image, desired: Mapping[Prefix, Target]) -> Iterator[Write]:
    """Apply the plan that leads to `desired`, yielding after each write."""
    return walk(kernel, image, transition(image, differences(desired, image), NOW))


def undisturbed(kernel: FakeDatapath, writes: Iterator[Write]) -> None:
    """Assert that after each write every address has its old or its new verdict."""
    before = verdicts(kernel)
    steps = [(write, verdicts(kernel)) for write in writes]
    after = verdicts(kernel)
    for write, between in steps:
        for old, new, met in zip(before, after, between, strict=True):
            assert met in (old, new), write
