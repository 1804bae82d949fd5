# SPDX-License-Identifier: GPL-2.0-or-later
"""QUIC: only clients that use the connection ID chosen by the server are known."""

import random
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from tests.kernel.conftest import FLOWS, Filter, filter_for, filtering, teacher_for
from tests.kernel.test_flows import (
    CLIENT,
    SERVER,
    drop_all,
    forget,
    packet4,
    packet6,
    spared,
)
from tests.kernel.test_signatures import Armed
from tests.reference_flows import Memory
from tests.reference_signatures import Signature
from tests.support.packets import address, ethernet, extended, ipv4, ipv6, quic, udp
from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.datapath.heads import no_masks
from xdpctl.model.match.match import build

__all__ = ["spared"]  # the fixture
V2 = 0x6B3343CF
CLIENT6, SERVER6 = address("2001:db8:1::7"), address("2001:db8:9::9")
CHOSEN, OWN = b"by the client", b"chosen by the server"


def client(content: bytes, port: int = 443) -> bytes:
    return packet4(SERVER, CLIENT, udp(40000, port, content), 17)


def answer_by(own: bytes, port: int = 443, version: int = 1) -> bytes:
    return packet4(CLIENT, SERVER, udp(port, 40000, quic(b"", own, version=version)), 17)


@pytest.fixture
def open_to_all(spared: Filter) -> Filter:
    """A filter that drops nothing yet."""
    Armed(spared).hold([])
    return spared


def knows(held: Filter, content: bytes = b"\x40 data", port: int = 443) -> bool:
    """Whether a client's packet passes a rule that drops every unknown flow."""
    drop_all(held)
    return held.judge(client(content, port), outside=True) == ("pass", "KNOWN")


@pytest.mark.parametrize("own", [OWN, OWN[-4:]], ids=["20 bytes", "4 bytes"])
def test_a_client_that_uses_the_quic_servers_connection_id_is_known(
    open_to_all: Filter, own: bytes
) -> None:
    open_to_all.judge(client(quic(CHOSEN, b"")), outside=True)
    open_to_all.teach(answer_by(own))
    drop_all(open_to_all)
    for forged in (CHOSEN, own[:-1] + b"!", own[-3:], b"", bytes(20)):
        assert not knows(open_to_all, quic(forged, b""))
    assert not knows(open_to_all, quic(own, b"", version=0)), "negotiation has the client's IDs"
    assert not knows(open_to_all, quic(own, b"", first=0x80))
    assert not knows(open_to_all, b"\x40" + own + bytes(20))
    elsewhere = packet4(SERVER, CLIENT, udp(40001, 443, quic(own, b"")), 17)
    assert open_to_all.judge(elsewhere, outside=True)[1] == "MATCHED"
    assert open_to_all.explain(client(quic(own, b"")), True) == "KNOWN"
    assert knows(open_to_all, quic(own, b""))
    assert knows(open_to_all)


@pytest.mark.parametrize("stage", ["", "observed", "monitored", "limited"])
def test_a_quic_client_is_known_before_any_rule_drops(open_to_all: Filter, stage: str) -> None:
    """Most clients send the server's ID only once or twice in the clear, so each packet is read."""
    if stage == "observed":
        masks = no_masks()
        masks[Reason.NO_RULE] = 0
        open_to_all.datapath.heads.observe(masks)
        other = packet4(SERVER, CLIENT, udp(40000, 9999, bytes(40)), 17)
        open_to_all.run(other, 5_000, outside=True)  # no more heads in this epoch
    if stage in ("monitored", "limited"):
        action, mode = ("drop", "monitor") if stage == "monitored" else ("limit", "enforce")
        Armed(open_to_all).hold([(build({"ttl": ">=0"}), Signature({}, action, mode))])
    if stage == "monitored":
        open_to_all.datapath.begin_statistics(SlotNumber.SIGNATURES)
    try:
        assert open_to_all.run(client(quic(CHOSEN, b"")), outside=True) == "pass"
        open_to_all.teach(answer_by(OWN))
        assert open_to_all.run(client(quic(OWN, CHOSEN)), outside=True) == "pass"
        assert knows(open_to_all)
    finally:
        open_to_all.datapath.end_statistics(SlotNumber.SIGNATURES)
        open_to_all.datapath.heads.observe(no_masks())


@pytest.mark.parametrize("kind", ["options", "a fragment", "extensions"])
def test_a_client_cannot_hide_which_id_it_has_chosen(open_to_all: Filter, kind: str) -> None:
    """Some servers answer with the client's ID; if a client shows two IDs, neither is trusted."""
    six = kind == "extensions"
    inside, outside = (CLIENT6, SERVER6) if six else (CLIENT, SERVER)

    def comes(content: bytes, hidden: bool = False) -> bytes:
        datagram = udp(40000, 443, content)
        if six:
            first, body = extended((60,) if hidden else (), 17, datagram, 0, False)
            return ethernet(0x86DD, ipv6(outside, inside, body, first))
        options = b"\1" * 4 if hidden and kind == "options" else b""
        word = 0x2000 if hidden and kind == "a fragment" else 0
        return ethernet(0x0800, ipv4(outside, inside, datagram, 17, options, word))

    for hidden in (False, True):
        forget(open_to_all)
        Armed(open_to_all).hold([])
        open_to_all.run(comes(quic(CHOSEN, b"")), outside=True)
        if hidden:
            open_to_all.run(comes(quic(OWN, b""), hidden=True), outside=True)
        make = packet6 if six else packet4
        open_to_all.teach(make(inside, outside, udp(443, 40000, quic(b"", OWN)), 17))
        drop_all(open_to_all)
        said = open_to_all.judge(comes(quic(OWN, b"")), outside=True)[1]
        assert said == ("MATCHED" if hidden else "KNOWN")


def test_a_connection_id_shown_long_ago_is_forgotten(open_to_all: Filter) -> None:
    """A new client may have the port of an earlier one, or somebody forged an ID in its name."""
    cells = open_to_all.loader._maps.shared["quic_cells"].memory()
    numbers = np.frombuffer(cells, np.uint64).reshape(-1, 2)
    for chosen in (b"another one", b"third"):
        open_to_all.run(client(quic(chosen, b"")), outside=True)
    numbers[:, 1] -= np.uint64(31_000_000_000) * (numbers[:, 0] != 0)
    open_to_all.run(client(quic(CHOSEN, b"")), outside=True)
    open_to_all.teach(answer_by(OWN))
    assert knows(open_to_all, quic(OWN, b""))


def test_quic_clients_are_known_exactly_if_the_model_knows_them(open_to_all: Filter) -> None:
    """Nothing is trusted if the server keeps the client's ID or the client shows two IDs."""
    rng, seen = random.Random(443), {True: 0, False: 0}
    for _ in range(200):
        forget(open_to_all)
        Armed(open_to_all).hold([])
        model = Memory()
        theirs, own, third = rng.sample((b"ABCD", b"EFGHI", b"long JKLM"), 3)
        steps = [(False, theirs, b""), (True, b"", own), (False, own, b"")]  # as it should be
        for _ in range(rng.randrange(3)):
            other = rng.random() < 0.5, rng.choice((theirs, own, third)), rng.choice((own, theirs))
            steps.insert(rng.randrange(len(steps) + 1), other)
        for goes_out, to, by in steps:
            first, version = rng.choice((0xC0, 0xE0)), rng.choice((1, V2))
            if rng.random() < 0.1:
                first, version = rng.choice(((0x80, 1), (0xC0, 2)))
            content = quic(to, by, first, version)
            if goes_out:
                frame = packet4(CLIENT, SERVER, udp(443, 40000, content), 17)
                open_to_all.teach(frame)
                model.teach(frame)
            else:
                open_to_all.run(client(content), outside=True)
                model.let_in(client(content))
        expected = model.knows(client(b"\x40 data"))
        assert knows(open_to_all) == expected
        seen[expected] += 1
    assert min(seen.values()) > 30, seen


def test_connection_ids_are_ignored_if_quic_is_switched_off(tmp_path: Path) -> None:
    flows = replace(FLOWS, quic=False)
    compiled = filter_for(flows=flows), teacher_for(flows)
    with filtering(tmp_path, *compiled, flows) as held:
        held.judge(client(quic(CHOSEN, b"")), outside=True)
        held.teach(answer_by(OWN))
        assert not knows(held, quic(OWN, b""))


@pytest.mark.parametrize("port", [443, 500, 1194])
def test_other_udp_has_no_connection_id(open_to_all: Filter, port: int) -> None:
    open_to_all.judge(client(quic(CHOSEN, b""), port), outside=True)
    open_to_all.teach(answer_by(OWN, port))
    assert knows(open_to_all, quic(OWN, b""), port) is (port == 443)
