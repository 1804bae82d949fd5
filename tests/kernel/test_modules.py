# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules: real C files, through the real loader, in the real program."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.kernel.conftest import Filter, filter_for, one_cpu
from tests.kernel.test_flows import packet4, packet6
from tests.kernel.test_signatures import behind_extensions
from tests.paths import ROOT
from tests.support.packets import address, udp
from xdpctl.abi.arrays import MODULE_COUNTS
from xdpctl.abi.constants import Action, Mode, ModuleVerdict, Reason, SlotNumber, Spare
from xdpctl.abi.sizes import MODULES_MAX
from xdpctl.abi.structs import Slot
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.module_alone import ModuleAlone
from xdpctl.datapath.loader.module_signature import sign
from xdpctl.datapath.loader.module_source import Places, compile_module
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.errors import CompileError, DatapathError
from xdpctl.model.match.match import build
from xdpctl.processes.fleet_modules import FleetModules

CLIENT, SERVER = address("192.0.2.7"), address("198.51.100.9")
CLIENT6, SERVER6 = address("2001:db8::7"), address("2001:db8:1::9")
FIRST = SlotNumber.SIGNATURES
PORT = {"protocol": "udp", "destination_port": "7777"}

BY_FIRST_BYTE = """
MODULE decide(struct view *view)
{
	if (view->bytes < 1)
		return PASS;
	return view->payload[0] == 0xbd ? DROP : PASS;
}
"""
NUMBERS = """
MODULE decide(struct view *view)
{
	u32 number;

	if (is_proven(view))
		return PASS;
	if (view->bytes >= 8) {
		__builtin_memcpy(&number, view->payload + 4, 4);
		if (is_keyed(view, 1, number)) {
			proves(view);
			return PASS;
		}
	}
	number = keyed(view, 1);
	reply(view, &number, 4);
	return CHALLENGE;
}
"""
MEMORY = """
MODULE decide(struct view *view)
{
	u64 *seen = memory_of(view->source[0]);

	if (!seen)
		return PASS;
	__sync_fetch_and_add(&seen[0], 1);
	return seen[0] > 3 ? DROP : PASS;
}
"""
FURTHER = """
static int is_end(struct view *view)
{
	u8 last[2];

	if (view->bytes < 2 || further(view, view->bytes - 2, last, sizeof(last)))
		return 0;
	return last[0] == 0xab && last[1] == 0xcd;
}

MODULE decide(struct view *view)
{
	return is_end(view) ? DROP : PASS;
}
"""
SLOW = """
MODULE decide(struct view *view)
{
	u32 sum = 0;

	for (int n = 0; n < 200; n++)
		sum += keyed(view, sum);
	return sum == 7 ? PASS : DROP;
}
"""
NONSENSE = """
MODULE decide(struct view *view)
{
	return (enum module_verdict)(view->bytes + 77);
}
"""


class Box:
    """A filter with a folder of modules."""

    def __init__(self, pins: Pins, folder: Path) -> None:
        self.folder, self.pins = folder, pins
        self._hits: list[int] = []
        self.loader = Loader(pins, filter_for(), modules=Places(folder))
        self.filter = Filter(self.loader)

    def begin(self) -> None:
        self._hits = [self.filter.set_hits(FIRST + number)[0] for number in range(2)]

    def hits(self, number: int) -> int:
        """The packets that a rule has hit in this test."""
        return self.filter.set_hits(FIRST + number)[0] - self._hits[number]

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.c").write_text(text)
        self.look()

    def look(self) -> None:
        assert self.loader.modules
        self.loader.modules.look([(p.staged, p.followed) for p in self.loader.ports.values()])

    @property
    def problems(self) -> dict[str, str]:
        assert self.loader.modules
        return self.loader.modules.problems

    def hold(
        self, *matches: dict[str, str], action: Action = Action.DROP, mode: Mode = Mode.ENFORCE
    ) -> None:
        """Put rules in force, of which each has the action of its own."""
        datapath = self.filter.datapath
        datapath.matches.wait_for_packets()
        for number, _ in enumerate(matches):
            word = Slot(action, mode, 0, Spare.NONE).pack()
            datapath.source.words[FIRST + number] = int.from_bytes(word, "little")
        datapath.matches.challenge([action] if action is Action.CHALLENGE_UDP else [])
        listed = [(build(match), FIRST + number) for number, match in enumerate(matches)]
        datapath.matches.install(compile_tables(listed, datapath.modules()))

    def counts(self, name: str) -> dict[str, int]:
        with closing(
            maps.open_map(self.loader.pins.module(self.filter.datapath.modules()[name], name))
        ) as held:
            counts = np.frombuffer(held.get(bytes(4)) or b"", MODULE_COUNTS)
        return {of: int(counts[of].sum()) for of in MODULE_COUNTS.names or ()}

    def judge(self, data: bytes, port: int = 7777) -> tuple[str, str]:
        return self.filter.judge(frame(data, port))


def frame(data: bytes, port: int = 7777, source: bytes = CLIENT) -> bytes:
    if len(source) == 16:
        return packet6(source, SERVER6, udp(4000, port, data), 17)
    return packet4(source, SERVER, udp(4000, port, data), 17)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One filter for all tests here, since to verify its programs takes seconds on some kernels."""
    directory = tmp_path_factory.mktemp("box")
    (directory / "modules").mkdir()
    pins = Pins(directory / "bpf")
    try:
        made = Box(pins, directory / "modules")
        with closing(made.filter):
            yield made
    finally:
        take_down(pins)


@pytest.fixture
def box(shared: Box) -> Iterator[Box]:
    """The filter without modules and rules."""
    shared.begin()
    yield shared
    for file in shared.folder.iterdir():
        file.unlink()
    shared.look()
    shared.hold()


def asks(name: str) -> dict[str, str]:
    return {**PORT, "module": name}


def test_a_module_decides_about_the_packets_of_its_match_alone(box: Box) -> None:
    box.write("game", BY_FIRST_BYTE)
    box.hold(asks("game"))
    assert box.judge(b"\xbdxyz") == ("drop", "MATCHED")
    assert box.judge(b"\xbexyz") == ("pass", "NO_RULE")
    assert box.judge(b"") == ("pass", "NO_RULE")
    assert box.judge(b"\xbdxyz", 7778) == ("pass", "NO_RULE")
    assert box.counts("game") == box.counts("game") | {"packets": 3, "dropped": 1, "nonsense": 0}
    assert box.hits(0) == 1
    assert box.filter.judge(frame(b"\xbd", source=CLIENT6)) == ("drop", "MATCHED")


def test_the_search_goes_on_behind_a_module_that_passes_and_in_monitor_mode(box: Box) -> None:
    box.write("game", BY_FIRST_BYTE)
    later = {**PORT, "payload": "@1 78"}
    box.hold(asks("game"), later)
    assert box.judge(b"\xbex") == ("drop", "MATCHED")
    assert (box.hits(0), box.hits(1)) == (0, 1)
    assert box.judge(b"\xbey") == ("pass", "NO_RULE")
    box.hold(asks("game"), mode=Mode.MONITOR)
    assert box.judge(b"\xbdx") == ("pass", "NO_RULE")
    assert box.hits(0) == 1


def test_a_packet_may_meet_several_modules(box: Box) -> None:
    names = [f"m{number}" for number in range(8)]
    for number, name in enumerate(names):
        box.write(name, BY_FIRST_BYTE.replace("0xbd", f"0x{number:02x}"))
    box.hold(*({**asks(name), "ttl": f"{n}-255"} for n, name in enumerate(names)))
    for number in range(8):
        assert box.judge(bytes([number])) == ("drop", "MATCHED"), number
    assert box.judge(b"\xff") == ("pass", "NO_RULE")


def test_a_source_proves_itself_by_the_number_that_it_was_sent(box: Box) -> None:
    box.write("game", NUMBERS)
    box.hold(asks("game"), action=Action.CHALLENGE_UDP)
    for source in (CLIENT, CLIENT6):
        asked = frame(b"ask\0" + bytes(4), source=source)
        done = programs.run(box.filter.program, asked)
        assert done.value == 3, "an answer"
        assert len(done.frame) <= len(asked), "nobody gains by forging"
        number = done.frame[-4:]
        wrong = bytes([number[0] ^ 1]) + number[1:]
        assert box.filter.run(frame(b"ask\0" + wrong, source=source)) == "answer"
        assert box.filter.run(frame(b"ask\0" + number, source=source)) == "pass"
        assert box.filter.run(asked) == "pass", "it is proven"
    other = frame(b"ask\0" + number, source=address("192.0.2.8"))
    assert box.filter.run(other) == "answer", "a number is for one source"
    short = frame(b"a", source=address("192.0.2.9"))
    assert box.filter.run(short) == "drop", "a reply is no longer than what it answers"


def test_a_challenge_is_a_drop_for_a_rule_that_drops(box: Box) -> None:
    box.write("game", NUMBERS)
    box.hold(asks("game"))
    asked = frame(b"ask\0" + bytes(4), source=address("192.0.2.66"))
    assert box.filter.judge(asked) == ("drop", "MATCHED")


def test_a_module_remembers_by_key(box: Box) -> None:
    box.write("game", MEMORY)
    box.hold(asks("game"))
    assert [box.filter.run(frame(b"x")) for _ in range(5)] == ["pass"] * 3 + ["drop"] * 2
    assert box.filter.run(frame(b"x", source=address("192.0.2.8"))) == "pass"


@pytest.mark.parametrize("before", [0, 8, 200])
@pytest.mark.parametrize("size", [2, 63, 64, 65, 1200])
def test_a_payload_is_read_to_its_end(box: Box, before: int, size: int) -> None:
    """Also behind 8 extension headers, and in a frame's second buffer."""
    box.write("game", FURTHER)
    box.hold(asks("game"))
    data = bytes(size - 2) + b"\xab\xcd"
    sent = behind_extensions(before, udp(4000, 7777, data), 17)
    assert box.filter.run(sent) == "drop"
    other = behind_extensions(before, udp(4000, 7777, data[:-1] + b"x"), 17)
    assert box.filter.run(other) == "pass"


def test_the_bytes_of_an_earlier_packet_are_not_seen(box: Box) -> None:
    box.write("game", BY_FIRST_BYTE.replace("payload[0]", "payload[9]"))
    box.hold(asks("game"))
    assert box.filter.run(frame(b"\xbd" * 20)) == "drop"
    assert box.filter.run(frame(b"x")) == "pass"


def test_a_slow_module_takes_itself_out_and_the_loader_says_so(box: Box) -> None:
    box.write("slow", SLOW)
    box.hold(asks("slow"))
    with one_cpu():
        assert box.filter.run(frame(b"x"), 63 * 64) == "drop"
        assert box.filter.run(frame(b"x"), 2) == "pass"
        assert not box.problems
    box.look()
    assert "too slow" in box.problems["slow"]
    assert box.filter.run(frame(b"x")) == "pass"
    box.write("slow", BY_FIRST_BYTE)
    assert not box.problems
    assert box.filter.run(frame(b"\xbd")) == "drop"


def test_what_is_slow_is_measured_as_slow() -> None:
    with ModuleAlone(compile_module(SLOW)) as alone, one_cpu():
        assert alone.nanoseconds([frame(b"x")]) > 1_000
        assert alone.ask(frame(b"x")) is ModuleVerdict.DROP


def test_only_headers_that_are_there_are_asked_about(box: Box) -> None:
    """Neither later fragments nor other protocols."""
    box.write("game", "MODULE decide(struct view *view) { return DROP; }")
    box.hold({"protocol": "udp", "module": "game"}, {"protocol": "gre", "module": "game"})
    assert box.filter.run(frame(b"x")) == "drop"
    later = packet4(CLIENT, SERVER, bytes(16), 17, fragment=0x0010)
    assert box.filter.run(later) == "pass"
    assert box.filter.run(packet4(CLIENT, SERVER, bytes(16), 47)) == "pass"


def test_what_pads_a_frame_is_not_seen(box: Box) -> None:
    box.write("game", BY_FIRST_BYTE.replace("view->bytes < 1", "0").replace("[0]", "[3]"))
    box.hold(asks("game"))
    assert box.filter.run(frame(b"\xbd" * 4)) == "drop"
    assert box.filter.run(frame(b"\xbd" * 3) + b"\xbd" * 80) == "pass"


def test_a_module_that_has_another_map_is_refused_and_harms_nobody(box: Box) -> None:
    text = """BPF_HASH(mine, u32, u64, 16);
    MODULE decide(struct view *view) { u32 n = 1; return mine.lookup(&n) ? DROP : PASS; }"""
    box.write("game", text)
    assert "mine" in box.problems["game"]
    assert box.loader.add_port("another")


def test_what_was_not_compiled_before_is_compiled_after_the_start(box: Box) -> None:
    box.write("game", BY_FIRST_BYTE)
    assert list(box.folder.parent.glob("modules-game.json"))
    box.write("more", BY_FIRST_BYTE)
    (box.folder.parent / "modules-more.json").unlink()
    with closing(Loader(box.pins, filter_for(), modules=Places(box.folder))) as again:
        assert again.modules
        assert set(again.modules._loaded) == {"game"}
        again.modules.look(())
        assert set(again.modules._loaded) == {"game", "more"}


def test_nonsense_passes_and_is_counted(box: Box) -> None:
    box.write("game", NONSENSE)
    box.hold(asks("game"))
    assert box.judge(b"x") == ("pass", "NO_RULE")
    assert box.counts("game")["nonsense"] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("MODULE decide(struct view *view) { return view->port; }", "module:1:"),
        ("MODULE decide(struct view *view) { for (;;) keyed(view, 1); }", "kernel"),
        (
            "MODULE decide(struct view *view) { return view->payload[view->bytes] ? DROP : PASS; }",
            "kernel",
        ),
        ("int other(void) { return 1; }", "decide"),
        ("MODULE decide(struct view *view) { return PASS; }\0", "byte 0"),
    ],
)
def test_what_does_not_load_is_refused_and_what_was_there_stays(
    box: Box, text: str, told: str
) -> None:
    box.write("game", BY_FIRST_BYTE)
    box.hold(asks("game"))
    box.write("game", text)
    assert told in box.problems["game"], box.problems
    assert box.filter.run(frame(b"\xbd")) == "drop"
    with pytest.raises((CompileError, DatapathError)), ModuleAlone(compile_module(text)):
        pass


def test_without_its_module_a_rule_takes_nothing_and_others_still_do(box: Box) -> None:
    box.write("game", BY_FIRST_BYTE)
    box.hold(asks("game"), {**PORT, "payload": "@1 78"})
    number = box.filter.datapath.modules()["game"]
    (box.folder / "game.c").unlink()
    box.look()
    assert box.filter.run(frame(b"\xbdy")) == "pass"
    assert box.filter.run(frame(b"\xbdx")) == "drop"
    assert box.filter.datapath.modules() == {}
    box.write("other", BY_FIRST_BYTE)
    assert box.filter.datapath.modules()["other"] != number, "the rule does not ask another one"
    assert box.filter.run(frame(b"\xbdy")) == "pass"


def test_a_file_that_others_could_write_is_not_read(box: Box) -> None:
    (box.folder / "game.c").write_text(BY_FIRST_BYTE)
    (box.folder / "game.c").chmod(0o666)
    (box.folder / "Bad.Name.c").write_text(BY_FIRST_BYTE)
    (box.folder / "link.c").symlink_to(box.folder / "game.c")
    box.look()
    assert box.filter.datapath.modules() == {}
    assert {"game", "link"} <= box.problems.keys()


def test_only_what_a_signer_signed_is_loaded_and_only_while_he_may(
    box: Box, tmp_path: Path
) -> None:
    """Real files, signed by the real ssh-keygen, through the loader that checks them."""
    key, signers = tmp_path / "key", tmp_path / "signers"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key), check=True)
    line = "ops@example.org " + key.with_suffix(".pub").read_text()
    signers.write_text(line)
    signed = sign(BY_FIRST_BYTE.encode(), "game", key).decode()
    assert box.loader.modules
    box.loader.modules.places = Places(box.folder, signers)
    try:
        for refused in (BY_FIRST_BYTE, signed.replace("0xbd", "0xbe"), signed + "int other;\n"):
            box.write("game", refused)
            assert "sign" in box.problems["game"]
            assert not box.filter.datapath.modules()
        box.write("other", signed)
        assert "under the name other" in box.problems["other"]
        box.write("game", signed)
        box.hold(asks("game"))
        assert "game" not in box.problems
        assert box.filter.run(frame(b"\xbd")) == "drop"
        box.write("game", BY_FIRST_BYTE)
        assert box.filter.run(frame(b"\xbd")) == "pass", "one that is not signed takes its place"
        box.write("game", signed)
        signers.chmod(0o666)
        box.look()
        assert "signers" in box.problems[""]
        box.hold(asks("game"))
        assert box.filter.run(frame(b"\xbd")) == "drop", "nobody said that he may not any more"
        signers.chmod(0o644)
        signers.write_text("# " + line)
        box.look()
        assert "does not have" in box.problems["game"]
        assert "" not in box.problems
        assert box.filter.run(frame(b"\xbd")) == "pass"
        signers.write_text(line)
        box.look()
        assert "game" in box.filter.datapath.modules()
    finally:
        box.loader.modules.places = Places(box.folder)


def test_what_another_user_wrote_counts_only_if_it_is_signed(box: Box, tmp_path: Path) -> None:
    """The folder of the control plane, which carries what a fleet shares."""
    key, signers, fleet = tmp_path / "key", tmp_path / "signers", tmp_path / "fleet"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key), check=True)
    signers.write_text("ops@example.org " + key.with_suffix(".pub").read_text())
    assert box.loader.modules
    box.loader.modules.places = Places(box.folder, None, fleet)
    signed = sign(BY_FIRST_BYTE.encode(), "game", key)
    other = sign(BY_FIRST_BYTE.replace("0xbd", "0xbe").encode(), "game", key)
    box.look()
    assert not box.problems
    FleetModules(fleet).set("game", signed.decode())
    os.chown(fleet, 65534, 65534)
    os.chown(fleet / "game.c", 65534, 65534)
    box.look()
    assert "set modules.signers" in box.problems["game"]
    box.loader.modules.places = Places(box.folder, signers, fleet)
    try:
        box.look()
        box.hold(asks("game"))
        assert not box.problems
        assert box.filter.run(frame(b"\xbd")) == "drop"
        (box.folder / "game.c").write_bytes(other)
        box.look()
        assert box.filter.run(frame(b"\xbe")) == "drop", "root's own goes first"
        assert box.filter.run(frame(b"\xbd")) == "pass"
        (box.folder / "game.c").unlink()
        FleetModules(fleet).set("game", BY_FIRST_BYTE)
        box.look()
        assert "not signed" in box.problems["game"]
        assert box.filter.run(frame(b"\xbd")) == "pass"
        (tmp_path / "signed.c").write_bytes(signed)
        (fleet / "game.c").unlink()
        (fleet / "game.c").symlink_to(tmp_path / "signed.c")
        (fleet / "fifo.c").unlink(missing_ok=True)
        os.mkfifo(fleet / "fifo.c")
        (fleet / "large.c").write_bytes(bytes(100_000))
        for number in range(300):
            (fleet / f"Bad{number}.c").write_bytes(signed)
        box.look()
        assert not box.filter.datapath.modules()
        assert box.problems.keys() <= {"game", "fifo", "large"}
        shutil.rmtree(fleet)
        fleet.symlink_to(box.folder.parent)
        box.look()
        assert not box.problems
    finally:
        box.loader.modules.places = Places(box.folder)


@pytest.mark.parametrize("instead", ["fifo", "link", "large", "does not compile", "many"])
def test_nothing_in_its_files_place_keeps_a_module_whose_signer_may_no_more(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instead: str
) -> None:
    signers, fleet = tmp_path / "signers", tmp_path / "fleet"
    lines = []
    for key in ("one", "two"):
        command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        subprocess.run(command, cwd=tmp_path, check=True)
        lines.append(f"{key}@example.org " + (tmp_path / f"{key}.pub").read_text())
    signers.write_text("".join(lines))
    signed = sign(BY_FIRST_BYTE.encode(), "game", tmp_path / "one")
    FleetModules(fleet).set("game", signed.decode())
    assert box.loader.modules
    box.loader.modules.places = Places(box.folder, signers, fleet)
    try:
        box.look()
        box.hold(asks("game"))
        assert box.filter.run(frame(b"\xbd")) == "drop"
        file = fleet / "game.c"
        if instead == "many":
            monkeypatch.setattr("xdpctl.datapath.loader.modules._LOOK_SECONDS", 0.0)
            for name in "abc":
                FleetModules(fleet).set(name, signed.decode())
        else:
            file.unlink()
        if instead == "fifo":
            os.mkfifo(file)
        elif instead == "link":
            (tmp_path / "signed.c").write_bytes(signed)
            file.symlink_to(tmp_path / "signed.c")
        elif instead == "large":
            file.write_bytes(bytes(100_000))
        elif instead == "does not compile":
            file.write_bytes(sign(b"nonsense\n", "game", tmp_path / "two"))
        if instead not in ("does not compile", "many"):
            box.look()
            assert box.filter.run(frame(b"\xbd")) == "drop", "nobody said that he may no more"
            assert "not taken" in box.problems["game"]
        signers.write_text(lines[1])
        box.look()
        assert box.filter.run(frame(b"\xbd")) == "pass"
        assert "not loaded" in box.problems["game"]
    finally:
        box.loader.modules.places = Places(box.folder)


def test_the_same_fault_of_a_file_that_is_written_again_is_logged_once(
    box: Box, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = tmp_path / "fleet"
    assert box.loader.modules
    box.loader.modules.places = Places(box.folder, None, fleet)
    try:
        for _ in range(3):
            FleetModules(fleet).set("game", BY_FIRST_BYTE)
            box.look()
        told = [record for record in caplog.records if "set modules.signers" in record.message]
        assert len(told) == 1
    finally:
        box.loader.modules.places = Places(box.folder)


def test_many_files_of_another_user_do_not_hold_up_roots_own(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = tmp_path / "fleet"
    for name in ("a", "b", "c"):
        FleetModules(fleet).set(name, BY_FIRST_BYTE)
    (box.folder / "own.c").write_text(BY_FIRST_BYTE)
    assert box.loader.modules
    box.loader.modules.places = Places(box.folder, None, fleet)
    monkeypatch.setattr("xdpctl.datapath.loader.modules._LOOK_SECONDS", 0.0)
    try:
        for refused in ([], ["a"], ["a", "b"], ["a", "b", "c"]):
            box.look()
            assert set(box.filter.datapath.modules()) == {"own"}
            assert sorted(box.problems) == refused, "a look that takes long leaves the others"
    finally:
        box.loader.modules.places = Places(box.folder)


def test_numbers_last_over_a_restart_and_there_are_no_more_than_that(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.write("b", BY_FIRST_BYTE)
    box.write("a", BY_FIRST_BYTE)
    numbers = box.filter.datapath.modules()
    assert numbers["b"] < numbers["a"]
    box.hold(asks("a"))
    with closing(Loader(box.pins, filter_for(), modules=Places(box.folder))) as again:
        assert again.pins.modules() == numbers
        program = again.add_port("test").program_fd
        assert programs.run(program, frame(b"\xbd")).value == 1
    taken = {f"x{number}": number for number in range(MODULES_MAX)}
    monkeypatch.setattr(type(box.loader.pins), "modules", lambda _: taken)
    box.write("more", BY_FIRST_BYTE)
    assert f"{MODULES_MAX} modules" in box.problems["more"]


EXAMPLES = {path.stem: path.read_text() for path in (ROOT / "examples" / "modules").glob("*.c")}
MAGIC = bytes.fromhex("00ffff00fefefefefdfdfdfd12345678")


def said(name: str, *datas: bytes) -> list[str]:
    """What an example says of these payloads, one after the other."""
    with ModuleAlone(compile_module(EXAMPLES[name])) as alone, one_cpu():
        asked = [alone.ask(frame(data)) for data in datas]
    return [verdict.name.lower() for verdict in asked if verdict]


def test_the_example_of_raknet_knows_what_clients_begin_with() -> None:
    ping = b"\x01" + bytes(8) + MAGIC
    first, second = b"\x05" + MAGIC + b"\x0b", b"\x07" + MAGIC + bytes(17)
    real = (ping + bytes(8), b"\x02" + ping[1:] + bytes(8), first + bytes(1400), second)
    assert said("raknet", *real) == ["pass"] * 4
    wrong = (b"", b"\x01", ping[:24], first[:17], b"\x06" + first[1:], second[:-1], bytes(40))
    assert said("raknet", *wrong, b"\x01" + bytes(40)) == ["drop"] * 8


def test_the_example_of_a_handshake_lets_in_who_repeats_its_number(box: Box) -> None:
    client = address("192.0.2.77")

    def answer(data: bytes) -> programs.RunResult:
        return programs.run(box.filter.program, frame(data, source=client))

    box.write("handshake", EXAMPLES["handshake"])
    box.hold(asks("handshake"), action=Action.CHALLENGE_UDP)
    done = answer(b"HELO" + bytes(4))
    assert done.frame[-8:-4] == b"NUMB"
    assert answer(b"HELO" + bytes(4)).value == 3, "an answer"
    assert answer(b"EHLO" + bytes(4)).value == 1, "a drop"
    assert answer(b"HELO" + done.frame[-4:]).value == 2, "it passes"
    assert answer(b"anything").value == 2


def test_the_example_of_a_pace_counts_large_datagrams_of_a_source() -> None:
    assert said("pace", *[bytes(1200)] * 21, bytes(9)) == ["pass"] * 20 + ["drop", "pass"]


def test_explain_takes_a_rule_as_if_its_module_said_drop(box: Box) -> None:
    box.write("game", BY_FIRST_BYTE)
    box.hold(asks("game"))
    told = box.filter.datapath.explain(frame(b"\xbd"), False)
    assert told.reason is Reason.MATCHED
    assert told.slots == (FIRST,)


def test_the_programs_of_a_module_leave_room_for_older_kernels() -> None:
    for text in (BY_FIRST_BYTE, NUMBERS, MEMORY, FURTHER, *EXAMPLES.values()):
        with ModuleAlone(compile_module(text)) as alone:
            assert 0 < alone.instructions < 100_000
            assert alone.ask(frame(b"\xbd" + bytes(8))) in ModuleVerdict
            assert alone.nanoseconds([frame(bytes(100))]) >= 0
    assert os.geteuid() == 0
