# SPDX-License-Identifier: GPL-2.0-or-later
"""The real maps and programs, in a pin directory of each test."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import compiled_at, need
from xdpctl.abi.constants import Action, Mode, Reason
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.image import NEIGHBOUR, PROTECTED, Image, Listing, Target, own_slot
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.filter_program import compile_filter, compile_teacher
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import differences, replace_set, transition
from xdpctl.model.capacity import Capacity, FlowSettings

CAPACITY = Capacity(2000, 4096, 4096)
LARGE = Capacity(2000, 200_000, 100_000)
RULES = {
    "drop": own_slot(Action.DROP, Mode.ENFORCE, 0),
    "accept": own_slot(Action.ACCEPT, Mode.ENFORCE, 0),
    "protect": PROTECTED,
    "neighbour": NEIGHBOUR,
    "monitor": own_slot(Action.DROP, Mode.MONITOR, 0),
    "monitor-accept": own_slot(Action.ACCEPT, Mode.MONITOR, 0),
    "expired": own_slot(Action.DROP, Mode.ENFORCE, 1),
    "expired-accept": own_slot(Action.ACCEPT, Mode.ENFORCE, 1),
}
VERDICTS = {1: "drop", 2: "pass", 3: "answer"}  # XDP_DROP, XDP_PASS, XDP_TX


def parse_rules(text: str) -> dict[Prefix, Target]:
    """`drop 192.0.2.0/24; accept 192.0.2.7`, with the words of RULES."""
    lines = (line.split() for line in text.split(";") if line.strip())
    return {parse_prefix(source): RULES[word] for word, source in lines}


class Filter:
    """The loaded program: the rules it holds, and what it does with a frame."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.program = loader.add_port("test").program_fd
        loader.explain.add()
        self._explains = {False}  # on which sides
        self.datapath = PinnedDatapath(loader.pins)
        self.flows = self.datapath.flows
        self.image = Image(self.datapath.capacity)
        self.rules: Mapping[Prefix, Target] = {}

    @cached_property
    def outside(self) -> int:
        """The program for an outside interface."""
        return self.loader.add_port("outside", outside=True).program_fd

    def close(self) -> None:
        self.datapath.close()
        self.loader.close()

    def hold(self, rules: str | Mapping[Prefix, Target]) -> None:
        """Write exactly these rules to tables and front filters that were empty before."""
        wanted = parse_rules(rules) if isinstance(rules, str) else rules
        if wanted != self.rules:
            self.turn_into({})
            list(self.datapath.source.repaint())
            self.turn_into(wanted)

    def turn_into(self, rules: Mapping[Prefix, Target]) -> None:
        """Replace the rules by these, by a transition."""
        plan = transition(self.image, differences(rules, self.image), time.monotonic_ns())
        self.datapath.apply(plan)
        self.image.commit(plan)
        self.rules = rules

    def replace_set(self, slot: int, wanted: Listing | None) -> None:
        """Put this list into a set's slot, or remove the set."""
        plan = replace_set(self.image, slot, wanted)
        self.datapath.apply(plan)
        self.image.commit(plan)

    def empty(self) -> None:
        """Remove all rules and sets, and clear the front filters."""
        for slot in list(self.image.sets):
            self.replace_set(slot, None)
        self.turn_into({})
        list(self.datapath.source.repaint())

    def run(self, frame: bytes, times: int = 1, outside: bool = False) -> str:
        """The verdict of the program: `drop` or `pass`."""
        program = self.outside if outside else self.program
        return VERDICTS[programs.run(program, frame, times).value]

    def judge(self, frame: bytes, outside: bool = False) -> tuple[str, str]:
        """The verdict and the reason; asserts that one packet with its bytes was counted."""
        before = self.counters(outside)
        verdict = self.run(frame, outside=outside)
        after = self.counters(outside)
        grown = [reason for reason in after if after[reason] != before[reason]]
        assert len(grown) == 1, f"counted under {grown}"
        was, now = before[grown[0]], after[grown[0]]
        assert (now.packets - was.packets, now.bytes - was.bytes) == (1, len(frame))
        return verdict, grown[0].name

    def explain(self, frame: bytes, outside: bool = False) -> str:
        """The reason by the explain program, which does not count."""
        if outside not in self._explains:  # verifying it takes a second
            self.loader.explain.add(outside)
            self._explains.add(outside)
        before = self.counters(outside)
        reason = self.datapath.explain(frame, outside).reason.name
        assert self.counters(outside) == before
        return reason

    def teach(self, frame: bytes) -> None:
        """Run the teaching program on an outgoing frame."""
        teacher = self.loader.programs.teacher()
        assert teacher is not None
        assert programs.run(teacher, frame).value == 2**32 - 1  # TC_ACT_UNSPEC

    def counters(self, outside: bool = False) -> dict[Reason, Hits]:
        if outside:
            _ = self.outside
        return self.datapath.counters()["outside" if outside else "test"]

    def hits(self, source: str) -> tuple[int, int]:
        """Packets and bytes of the rule on `source`."""
        return self.set_hits(self.image.entries[parse_prefix(source)])

    def set_hits(self, slot: int) -> tuple[int, int]:
        """Packets and bytes of a slot."""
        found = self.datapath.hits([slot])[0]
        return found.packets, found.bytes


@contextmanager
def one_cpu() -> Iterator[None]:
    """Run on one CPU, because each CPU counts separately which packet is sampled or captured."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    need(os.geteuid() == 0, "root")
    need(find_spec("bcc") is not None, "bcc (apt-get install python3-bpfcc)")


@pytest.fixture(scope="session")
def compiled() -> Compiled:
    return filter_for()


@pytest.fixture(scope="session")
def compiled_for_rehearsal() -> Compiled:
    return compile_filter(CAPACITY, compiled_at("rehearsal"), rehearsal=True)


@pytest.fixture(scope="session")
def rehearsals(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a folder for compiled programs, which all rehearsals share."""
    settings = Settings(state_dir=tmp_path_factory.mktemp("state"))
    settings.loader_dir.mkdir()
    return settings


@cache
def filter_for(capacity: Capacity = CAPACITY, flows: FlowSettings | None = None) -> Compiled:
    """The compiled filter: compiling takes seconds, and many tests need the same."""
    return compile_filter(capacity, compiled_at("filter", flows), flows=flows)


@cache
def teacher_for(flows: FlowSettings) -> Compiled:
    """The compiled program that teaches."""
    return compile_teacher(flows, compiled_at("teacher", flows))


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Pins]:
    pins = Pins(tmp_path / "bpf")
    yield pins
    take_down(pins)
    assert not pins.directory.is_mount()


@pytest.fixture
def loader(pins: Pins, compiled: Compiled) -> Iterator[Loader]:
    with closing(Loader(pins, compiled)) as loader:
        yield loader


@pytest.fixture
def datapath(loader: Loader) -> Iterator[PinnedDatapath]:
    with closing(PinnedDatapath(loader.pins)) as datapath:
        yield datapath


@contextmanager
def filtering(
    directory: Path,
    compiled: Compiled,
    teach: Compiled | None = None,
    flows: FlowSettings | None = None,
) -> Iterator[Filter]:
    """Load a program with pins that are removed afterwards."""
    pins = Pins(directory / "bpf")
    try:
        with closing(Filter(Loader(pins, compiled, teach=teach, flows=flows))) as made:
            yield made
    finally:
        take_down(pins)


@pytest.fixture(scope="session")
def filtered(compiled: Compiled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filter]:
    """One loaded program for many tests; each test sets the rules that it needs."""
    with filtering(tmp_path_factory.mktemp("filter"), compiled) as made:
        yield made


FLOWS = FlowSettings(flows=64_000, new_per_source=0)


@pytest.fixture(scope="session")
def teaching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filter]:
    """A loaded program with a flow memory, and the program that teaches it."""
    compiled = filter_for(flows=FLOWS), teacher_for(FLOWS)
    with filtering(tmp_path_factory.mktemp("teaching"), *compiled, FLOWS) as made:
        yield made


@pytest.fixture
def emptied(filtered: Filter) -> Iterator[Filter]:
    """`filtered` without rules, for tests with sets."""
    filtered.empty()
    yield filtered
    filtered.empty()


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filter]:
    """A filter with room for large sets; tests use `large`, which is empty."""
    with filtering(tmp_path_factory.mktemp("roomy"), filter_for(LARGE)) as made:
        yield made


@pytest.fixture
def large(roomy: Filter) -> Iterator[Filter]:
    """An empty filter with room for large sets."""
    yield roomy
    roomy.empty()
