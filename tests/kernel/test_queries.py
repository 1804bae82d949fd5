# SPDX-License-Identifier: GPL-2.0-or-later
"""DNS queries of sources that have not proved that they exist: the truncated answer, and proofs."""

import random
import struct
from collections.abc import Iterator

import pytest

from tests import reference, reference_flows
from tests.kernel.conftest import Filter
from tests.kernel.test_challenges import CLIENT, CLIENT6, SERVER, SERVER6, arm, folded
from tests.kernel.test_challenges import answer as challenged
from tests.kernel.test_flows import ACK, PSH, RST, SYN, packet4, packet6, tcp
from tests.kernel.test_signatures import Armed
from tests.support.packets import MAC, address, random_frame, tagged, udp
from xdpctl.abi.constants import Action, Mode, SlotNumber
from xdpctl.datapath.bpf import programs

_TX = 3
_QR, _TC, _AA, _RD, _RA, _CD, _AD = 0x8000, 0x0200, 0x0400, 0x0100, 0x0080, 0x0010, 0x0020
NAME = b"\3wWw\6schOol\4test\0"  # some resolvers mix capitals in
A_IN = struct.pack(">HH", 1, 1)


def message(
    name: bytes = NAME, more: bytes = b"", flags: int = _RD, numbers: tuple[int, ...] = (1, 0, 0, 0)
) -> bytes:
    return struct.pack(">HHHHHH", 0xBEEF, flags, *numbers) + name + A_IN + more


def edns(options: bytes = b"", wants: int = 0x8000, size: int = 4096) -> bytes:
    """A record of EDNS (RFC 6891)."""
    return b"\0" + struct.pack(">HHBBHH", 41, size, 0, 0, wants, len(options)) + options


COOKIE = struct.pack(">HH", 10, 8) + b"12345678"


MAGIC = b"\xff\xff\xff\xff"
INFO = MAGIC + b"TSource Engine Query\0"


NAMES = {"protocol": "udp", "destination_port": "53"}
GAMES = {"protocol": "udp", "payload": "@0 ffffffff"}
QUIC = {"protocol": "udp", "destination_port": "443"}


@pytest.fixture
def asked(teaching: Filter) -> Iterator[Filter]:
    """A filter that challenges DNS queries over UDP, queries of games, and QUIC."""
    arm(teaching, Action.CHALLENGE_UDP, NAMES, GAMES, QUIC)
    yield teaching
    teaching.datapath.matches.challenge([])
    Armed(teaching).hold([])


def query(data: bytes, source: bytes = CLIENT, port: int = 53) -> bytes:
    """A frame with a message from a client to the name server."""
    if len(source) == 4:
        return packet4(source, SERVER, udp(4000, port, data), 17)
    return packet6(source, SERVER6, udp(4000, port, data), 17)


def answer(held: Filter, frame: bytes) -> bytes:
    """The message that is sent back; asserts that its headers and checksums are right."""
    done = programs.run(held.program, frame)
    assert done.value == _TX
    assert len(done.frame) <= len(frame), "nobody gains by forging"
    at = 14 if frame[12] != 0x81 else 18
    packet = done.frame[at:]
    assert done.frame[:12] == MAC[6:] + MAC[:6]
    if packet[0] >> 4 == 4:
        assert folded(packet[:20]) == 0xFFFF
        source, destination, datagram = packet[12:16], packet[16:20], packet[20:]
        assert (source, destination) == (SERVER, frame[at + 12 : at + 16])
        assert struct.unpack_from(">H", packet, 2)[0] == len(packet)
    else:
        source, destination, datagram = packet[8:24], packet[24:40], packet[40:]
        assert (source, destination) == (SERVER6, frame[at + 8 : at + 24])
        assert struct.unpack_from(">H", packet, 4)[0] == len(datagram)
    (port,) = struct.unpack_from(">H", frame, at + len(packet) - len(datagram) + 2)
    assert struct.unpack_from(">HHH", datagram) == (port, 4000, len(datagram))
    pseudo = source + destination + struct.pack(">II", 17, len(datagram))
    padded = pseudo + datagram + bytes(len(datagram) % 2)
    assert folded(padded) == 0xFFFF
    return datagram[8:]


@pytest.mark.parametrize("source", [CLIENT, CLIENT6])
@pytest.mark.parametrize("name", [NAME, b"\0", b"\1x" + NAME, b"\77" + b"a" * 63 + b"\1b\0"])
def test_a_query_is_answered_truncated_with_its_question(
    asked: Filter, source: bytes, name: bytes
) -> None:
    frame = query(message(name), source)
    assert asked.explain(frame) == "CHALLENGED"
    assert answer(asked, frame) == message(name, flags=_QR | _TC | _RD)


def test_an_answer_to_a_tagged_query_has_its_tag(asked: Filter) -> None:
    frame = tagged(query(message()), (0x8100,))
    assert answer(asked, frame) == message(flags=_QR | _TC | _RD)


def test_an_answer_has_the_flags_of_the_query_that_an_answer_repeats(asked: Filter) -> None:
    sent = query(message(flags=_CD | _AD | _TC | _AA | _RA))
    assert answer(asked, sent) == message(flags=_QR | _TC | _CD)


@pytest.mark.parametrize("options", [b"", COOKIE])
@pytest.mark.parametrize("wants", [0, 0x8000, 0xFFFF])
def test_an_answer_to_edns_has_edns_without_options(
    asked: Filter, options: bytes, wants: int
) -> None:
    sent = query(message(more=edns(options, wants), numbers=(1, 0, 0, 1)))
    wanted = message(
        more=edns(b"", wants & 0x8000, 1232), flags=_QR | _TC | _RD, numbers=(1, 0, 0, 1)
    )
    assert answer(asked, sent) == wanted


def test_other_records_behind_the_question_are_left_out(asked: Filter) -> None:
    start = NAME + struct.pack(">HHIH", 6, 1, 0, 4) + b"from"  # of IXFR (RFC 1995)
    sent = query(message(more=start, numbers=(1, 0, 1, 0)))
    assert answer(asked, sent) == message(flags=_QR | _TC | _RD)
    sent = query(message(more=b"behind the message"))
    assert answer(asked, sent) == message(flags=_QR | _TC | _RD)


TSIG = NAME + struct.pack(">HHIH", 250, 255, 0, 4) + b"sign"
UNANSWERED = {
    "signed": message(more=TSIG, numbers=(1, 0, 0, 1)),
    "signed, with EDNS": message(more=edns() + TSIG, numbers=(1, 0, 0, 2)),
    "half a record of EDNS": message(more=edns()[:-1], numbers=(1, 0, 0, 1)),
    "no question": message(numbers=(0, 0, 0, 0)),
    "two questions": message(numbers=(2, 0, 0, 0)),
    "257 questions": message(numbers=(257, 0, 0, 0)),
    "a pointer": message(b"\xc0\x0c"),
    "a label that is too long": message(b"\x40" + b"a" * 64 + b"\0"),
    "a name without an end": message(b"\3www")[:16],
    "a name that ends behind the message": message(b"\x3fwww"),
    "half a type": message()[:-3],
    "a header alone": message()[:12],
    "a name of 128 labels": message(b"\1a" * 128 + b"\0"),
    "a name that leaves no room": message(b"\77" + b"a" * 63 + (b"\77" + b"b" * 63) * 3 + b"\0"),
}


@pytest.mark.parametrize("data", UNANSWERED.values(), ids=UNANSWERED)
@pytest.mark.parametrize("source", [CLIENT, CLIENT6])
def test_what_is_no_question_gets_no_answer(asked: Filter, data: bytes, source: bytes) -> None:
    before = asked.flows.challenges()
    assert asked.run(query(data, source)) == "drop"
    after = asked.flows.challenges()
    assert (after.sent - before.sent, after.withheld - before.withheld) == (0, 1)


@pytest.mark.parametrize(
    "frame",
    [
        query(message(flags=_QR | _RD)),
        query(message(flags=0x2800)),  # an update (RFC 2136)
        query(message()[:11]),
        query(b"\0\0").ljust(60, b"\0"),
        query(message(), port=5353),
        packet4(CLIENT, SERVER, tcp(SYN, 4000, 53), 6),
        packet4(CLIENT, SERVER, tcp(ACK, 4000, 53) + message(), 6),
        packet4(CLIENT, SERVER, udp(4000, 53, message()), 17, fragment=0x2000),
    ],
    ids=["answer", "update", "11 bytes", "padded", "mDNS", "SYN", "TCP", "fragment"],
)
def test_only_queries_over_udp_are_challenged(asked: Filter, frame: bytes) -> None:
    assert asked.judge(frame) == ("pass", "NO_RULE")


def test_the_model_says_which_packets_are_challenged(asked: Filter) -> None:
    rng, seen = random.Random(5), set()
    for _ in range(4_000):
        four, six = [rng.randbytes(4)], [rng.randbytes(16)]
        frame = random_frame(rng, four, six)
        if reference.reason(frame, []) != "NO_RULE":
            continue
        wanted = (
            reference_flows.is_query(frame)
            or reference_flows.is_game_query(frame)
            or reference_flows.opens_quic(frame)
        )
        assert (asked.explain(frame) == "CHALLENGED") == wanted, frame.hex()
        seen.add(wanted)
    assert seen == {True, False}
    for size in range(34):
        for kind in (0x54, 0x55, 0x56, 0x57, 0x41):
            frame = query(MAGIC + bytes((kind,)) + bytes(size), port=27015)
            wanted = reference_flows.is_game_query(frame)
            assert (asked.explain(frame) == "CHALLENGED") == wanted, frame.hex()
    for first in range(0, 256, 8):
        for version in VERSIONS:
            frame = query(bytes((first,)) + version, port=443)
            wanted = reference_flows.opens_quic(frame)
            assert (asked.explain(frame) == "CHALLENGED") == wanted, frame.hex()


VERSIONS = [b"\0\0\0\1", b"\x6b\x33\x43\xcf", bytes(4), b"\x0a\x1a\x2a\x3a", b"\0\0\0"]
INITIAL = b"\xc3\0\0\0\1\x08" + bytes(1200)


@pytest.mark.parametrize("source", [CLIENT, CLIENT6])
def test_what_opens_a_quic_connection_gets_no_answer(asked: Filter, source: bytes) -> None:
    before = asked.flows.challenges()
    assert asked.judge(query(INITIAL, source, 443)) == ("drop", "CHALLENGED")
    after = asked.flows.challenges()
    assert after == before, "none was withheld"
    later = b"\xe3" + INITIAL[1:]
    assert asked.judge(query(later, source, 443)) == ("pass", "NO_RULE")
    for first in (b"\x43", b"\x80\x60"):  # what follows the handshake; RTP
        assert asked.judge(query(first + bytes(30), source, 443)) == ("pass", "NO_RULE")
    assert asked.judge(query(INITIAL, source, 8443)) == ("pass", "NO_RULE")


@pytest.mark.parametrize("service", [53, 443])
@pytest.mark.parametrize(
    ("client", "server", "make"),
    [("203.0.117.{}", SERVER, packet4), ("2001:db8:{}::9", SERVER6, packet6)],
)
def test_a_source_that_the_server_sends_data_over_tcp_is_proved(
    asked: Filter, client: str, server: bytes, make: object, service: int
) -> None:
    newcomer = address(client.format(service % 256))

    def sent(flags: int, data: bytes = b"", port: int = service) -> bytes:
        assert callable(make)
        frame = make(server, newcomer, tcp(flags, port, 40000) + data, 6)
        assert isinstance(frame, bytes)
        return frame

    before = asked.flows.challenges().right
    for frame in (
        sent(SYN),
        sent(SYN | ACK),
        sent(ACK),
        sent(RST, b"why"),
        sent(RST | ACK, b"why"),
        sent(SYN | ACK, b"early"),
        sent(ACK | PSH, b"a page", port=80),
    ):
        asked.teach(frame)
        assert asked.run(query(message(), newcomer)) == "answer", "it may be forged"
        assert asked.explain(query(INITIAL, newcomer, 443)) == "CHALLENGED"
    assert asked.flows.challenges().right == before
    asked.teach(sent(ACK | PSH, message(flags=_QR)))
    asked.teach(sent(ACK | PSH, message(flags=_QR)))
    proved, other = query(message(), newcomer), query(INITIAL, newcomer, 443)
    if service == 443:
        proved, other = other, proved
    assert asked.judge(proved) == ("pass", "NO_RULE")
    assert asked.explain(other) == "CHALLENGED", "it has shown that it asks for the one alone"
    assert asked.flows.challenges().right == before + 1, "it counts once"


def test_a_reset_proves_nothing_for_queries(asked: Filter) -> None:
    """A live host resets what it never asked for, too, so a forger can cause a reset."""
    client = address("203.0.119.9")
    arm(asked, Action.CHALLENGE, {"protocol": "tcp"})
    syn = packet4(client, SERVER, tcp(SYN), 6)
    number = challenged(asked, syn).acknowledged
    assert asked.judge(packet4(client, SERVER, tcp(RST, number=number), 6)) == ("drop", "ANSWERED")
    assert asked.judge(syn) == ("pass", "NO_RULE")
    arm(asked, Action.CHALLENGE_UDP, NAMES)
    assert asked.run(query(message(), client)) == "answer"


def test_data_over_tcp_proves_nothing_while_no_query_is_challenged(asked: Filter) -> None:
    client = address("203.0.118.9")
    asked.datapath.matches.challenge([])
    asked.teach(packet4(SERVER, client, tcp(ACK | PSH, 53, 40000) + b"data", 6))
    asked.datapath.matches.challenge([Action.CHALLENGE_UDP])
    assert asked.run(query(message(), client)) == "answer"


def test_a_rule_in_monitor_mode_answers_no_query(asked: Filter) -> None:
    arm(asked, Action.CHALLENGE_UDP, NAMES, mode=Mode.MONITOR)
    assert asked.judge(query(message())) == ("pass", "NO_RULE")
    assert asked.set_hits(SlotNumber.SIGNATURES)[0] > 0


GAME = 27015


@pytest.mark.parametrize("source", [CLIENT, CLIENT6])
@pytest.mark.parametrize("sent", [INFO, MAGIC + b"U" + MAGIC, MAGIC + b"V" + bytes(4)])
def test_a_game_query_is_answered_with_a_number_that_proves_its_source(
    asked: Filter, source: bytes, sent: bytes
) -> None:
    client = source[:-1] + bytes((sent[4],))
    client = client[:5] + bytes((sent[4],)) + client[6:] if len(client) == 16 else client
    said = answer(asked, query(sent, client, GAME))
    assert said[:5] == MAGIC + b"A"
    number = said[5:]
    assert answer(asked, query(sent, client, GAME))[5:] == number, "nothing is kept for a query"
    with_number = (sent if sent == INFO else sent[:5]) + number
    wrong = with_number[:-1] + bytes((with_number[-1] ^ 1,))
    assert asked.run(query(wrong, client, GAME)) == "answer"
    other = (
        client[:-1] + bytes((client[-1] ^ 9,))
        if len(client) == 4
        else client[:5] + b"other" + client[10:]
    )
    assert asked.run(query(with_number, other, GAME)) == "answer", "the number is of one source"
    before = asked.flows.challenges().right
    assert asked.explain(query(with_number, client, GAME)) == "NO_RULE"
    assert asked.judge(query(with_number, client, GAME)) == ("pass", "NO_RULE")
    assert asked.flows.challenges().right == before + 1
    assert asked.judge(query(sent, client, GAME)) == ("pass", "NO_RULE"), "it is remembered"
    assert asked.judge(query(message(), client)) == ("pass", "NO_RULE"), "for names as well"


def test_a_games_query_to_a_name_or_web_server_gets_no_number(asked: Filter) -> None:
    assert asked.judge(query(INFO)) == ("pass", "NO_RULE")
    assert asked.judge(query(INFO, port=443)) == ("drop", "CHALLENGED"), "as QUIC"


@pytest.mark.parametrize(
    "sent",
    [MAGIC + b"W", MAGIC + b"getstatus\n", MAGIC + b"U" + bytes(3), INFO[:-1], b"\xfe" + INFO[1:]],
)
def test_what_is_no_query_of_a_game_is_not_challenged(asked: Filter, sent: bytes) -> None:
    """An answer to the oldest query, of 5 bytes, would be longer than it."""
    assert asked.judge(query(sent, CLIENT, GAME)) == ("pass", "NO_RULE")
