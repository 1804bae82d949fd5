# SPDX-License-Identifier: GPL-2.0-or-later
"""Relays: nodes follow through them, with their own rights, as if they asked the engine."""

import random
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest

from tests.fleet.boxes import Node, nodes
from tests.fleet.engines import Etcd, cluster
from tests.fleet.relays import Relays
from tests.fleet.test_detectors import WHO
from tests.support.fakes import ask
from xdpctl.control.operations import rules
from xdpctl.errors import CompactedError, EngineError, EngineRefusedError
from xdpctl.fleet import keys
from xdpctl.fleet.authority.certificates import addresses_of, issued, public_pem
from xdpctl.fleet.credentials import CERTIFICATE
from xdpctl.fleet.engine.calls import pb, span
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.values import Swap
from xdpctl.fleet.relay import feed, server
from xdpctl.fleet.relay.pages import Pages
from xdpctl.lab.waits import until
from xdpctl.model.wait import Wait


@pytest.fixture
def relays(own_etcd: Etcd, tmp_path: Path) -> Relays:
    return Relays(tmp_path, [own_etcd.endpoint], "relayed/")


@pytest.fixture
def engine(relays: Relays) -> Iterator[Engine]:
    """The engine as a member's neighbour has it."""
    direct = Engine(relays.endpoints, prefix=relays.prefix)
    direct.put(keys.FLEET, b"f")
    yield direct
    direct.close()


def test_a_node_behind_relays_follows_and_is_seen_and_goes_to_the_other_if_one_stops(
    relays: Relays, tmp_path: Path
) -> None:
    with ExitStack() as stack, relays.relay("relay2") as (second, _):
        with relays.relay("relay1") as (first, _):
            relays.settings("behind")
            behind = Node(
                "behind", tmp_path / "behind", [first, second], relays.prefix, behind_relays=True
            )
            member = Node("member", tmp_path / "member", relays.endpoints, relays.prefix)
            stack.enter_context(nodes([member, behind]))
            until(lambda: "behind" in member.agent.reporter.nodes.by_name)
            where = member.add(ask("203.0.113.1/32"), wait=Wait.ALL)
            assert not where.behind
            assert behind.rules() == member.rules()
            assert behind.agent.watching.members.all == ()
            assert not behind.agent.warnings()
            detected(behind, "198.51.100.1/32")
            until(lambda: "198.51.100.1/32" in member.rules())
        # the first has stopped
        detected(behind, "198.51.100.2/32")  # with a lease that the second has not granted
        until(lambda: "198.51.100.2/32" in member.rules())
        where = member.add(ask("203.0.113.2/32"), wait=Wait.LOCAL)
        until(lambda: len(behind.rules()) == 4)
        until(lambda: not behind.agent.member.contact.isolated)
        assert behind.agent.member.engine.endpoint == second
        member.remove("203.0.113.1/32")
        until(lambda: len(behind.rules()) == 3)


def detected(node: Node, source: str) -> None:
    """Add a detector's rule that ends."""
    request = ask(source, ttl=300.0, tags=("event-1",))
    node.controller.submit(lambda draft: rules.add(draft, request, WHO)).result()


def test_a_node_writes_only_its_own_keys_with_its_own_leases(
    relays: Relays, engine: Engine
) -> None:
    with (
        relays.relay("relay1") as (where, _),
        relays.client("edge7", where) as seven,
        relays.client("edge70", where) as other,
    ):
        card, report, alive = keys.said_by("edge7")
        lease = seven.grant(60)
        foreign = other.grant(60)
        seven.swap(
            [Swap(card, b"c", None), Swap(report, b"r", None), Swap(alive, b"a", None, lease)]
        )
        seven.put(keys.of_node(keys.FOUND, "edge7", "rules/x"), b"found", lease)
        assert seven.keep_alive(lease)
        refused = [
            Swap(keys.said_by("edge70")[1], b"x", None),
            Swap(keys.of_node(keys.FOUND, "edge70", "x"), b"x", None),
            Swap(f"{keys.FOUND}edge7", b"x", None),
            Swap(keys.intent("rules/x"), b"x", None),
            Swap(keys.REVOKED, b"x", None),
            Swap(keys.said_by_relay("relay1")[1], b"x", None),
            Swap(keys.said_by("edge70")[0], None, None),
        ]
        for swap in refused:
            with pytest.raises(EngineRefusedError):
                seven.swap([Swap(report, b"changed", None), swap])
            assert seven.get(report).value == b"r"  # type: ignore[union-attr]
        for prefix in ("", keys.FOUND, f"{keys.FOUND}edge7", keys.of_node(keys.FOUND, "edge70")):
            with pytest.raises(EngineRefusedError):
                seven.remove_below(prefix)
        assert not seven.keep_alive(foreign)
        with pytest.raises(EngineError, match="lease not found"):
            seven.revoke(foreign)
        with pytest.raises(EngineError, match="lease not found"):
            seven.put(alive, b"x", foreign)
        # an operation that this version of the API does not know, after one that it does: etcd
        # would take the last one
        nested = pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=b"x"))])
        data = nested.SerializeToString()
        sneaked = pb.RequestOp.FromString(
            pb.RequestOp(request_range=pb.RangeRequest(key=b"x")).SerializeToString()
            + b"\x22"
            + bytes([len(data)])
            + data
        )
        seven.call("Txn", pb.TxnRequest(success=[sneaked]))
        assert Engine(relays.endpoints).get("x") is None
        with pytest.raises(EngineRefusedError, match="another kind"):
            seven.call("Txn", pb.TxnRequest(success=[pb.RequestOp()]))
        for seconds in (1 << 40, -5 << 40):
            with pytest.raises(EngineError):
                seven.grant(seconds) if seconds > 0 else seven.call(
                    "LeaseGrant", pb.LeaseGrantRequest(TTL=seconds)
                )
        with pytest.raises(EngineRefusedError):
            next(iter(seven.watch("", 0)))
        with pytest.raises(EngineError):  # a call that no node makes
            seven.call("MemberList", pb.MemberListRequest())
        seven.remove_below(keys.of_node(keys.FOUND, "edge7"))
        assert engine.get(keys.of_node(keys.FOUND, "edge7", "rules/x")) is None
        assert other.keep_alive(foreign)
        seven.revoke(lease)
        assert engine.get(alive) is None


def test_only_certificates_of_the_fleet_that_are_not_revoked_are_answered(
    relays: Relays, engine: Engine, tmp_path: Path
) -> None:
    stranger = Relays(tmp_path / "other", relays.endpoints, relays.prefix)
    stranger.folder.mkdir()
    with relays.relay("relay1") as (where, _):
        with stranger.client("edge7", where) as unknown, pytest.raises(EngineError):
            unknown.get(keys.FLEET)
        plain = Engine([where], prefix=relays.prefix)
        with pytest.raises(EngineError):
            plain.get(keys.FLEET)
        plain.close()
        with relays.client("edge7", where) as seven, relays.client("edge8", where) as eight:
            assert seven.get(keys.FLEET).value == b"f"  # type: ignore[union-attr]
            changes = iter(seven.watch(keys.SHARED, engine.put("x", b"x")))
            engine.put(keys.intent("rules/x"), b"1")
            assert [kv.value for kv in next(changes).changes] == [b"1"]
            relays.revoke(engine, "edge7")
            with pytest.raises(EngineError, match="revoked"):
                list(changes)  # the watch was open
            with pytest.raises(EngineRefusedError, match="revoked"):
                seven.get(keys.FLEET)
            assert eight.get(keys.FLEET).value == b"f"  # type: ignore[union-attr]


def test_a_snapshot_through_a_relay_is_one_of_the_engine_while_keys_change(
    relays: Relays, engine: Engine
) -> None:
    chance = random.Random(7)
    names = [keys.intent(f"rules/{number:04}") for number in range(400)]

    def change() -> None:
        for _ in range(60):
            some = chance.sample(names, 3)
            value = None if chance.random() < 0.3 else str(chance.random()).encode()
            engine.swap([Swap(name, value, None) for name in some])

    engine.swap([Swap(name, b"first", None) for name in names[:300]])
    with (
        mock.patch("xdpctl.fleet.engine.client._PAGE", 50),
        relays.relay("relay1") as (where, _),
        ThreadPoolExecutor(4) as pool,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(relays.client(f"edge{n}", where)) for n in range(3)]
        changing = pool.submit(change)
        read = 0
        while not changing.done() or read < 12:
            for snapshot in pool.map(lambda client: client.snapshot(keys.SHARED), clients):
                request = pb.RangeRequest(
                    key=(relays.prefix + keys.SHARED).encode(),
                    range_end=(relays.prefix + "shared0").encode(),
                    revision=snapshot.revision,
                )
                told = engine.call("Range", request)
                there = [(kv.key.decode(), kv.value, kv.mod_revision) for kv in told.kvs]
                here = [(relays.prefix + kv.key, kv.value, kv.revision) for kv in snapshot.held]
                assert here == there
                assert snapshot.cluster == told.header.cluster_id
                read += 1
        changing.result()


def test_pages_that_were_read_at_several_revisions_end_together(
    relays: Relays, engine: Engine
) -> None:
    name = keys.intent("rules/x")
    with relays.relay("relay1") as (where, _), relays.client("edge7", where) as seven:
        first = engine.put(name, b"old")
        second = engine.put(keys.said_by("edge1")[1], b"news of another area")

        def read(revision: int) -> bytes:
            low, high = span(relays.prefix + keys.SHARED)
            request = pb.RangeRequest(key=low, range_end=high, limit=5_000, revision=revision)
            return bytes(seven.call("Range", request).kvs[0].value)

        assert read(second) == read(first) == b"old"
        third = engine.put(name, b"new")
        assert read(0) == read(third) == b"new"
        assert read(second) == read(first) == b"old"


def test_nodes_that_read_the_same_cost_the_engine_one_answer(
    relays: Relays, engine: Engine
) -> None:
    every = [Swap(keys.intent(f"rules/{n:04}"), b"x", None) for n in range(200)]
    engine.swap(every)
    with relays.relay("relay1") as (where, _), ExitStack() as stack:
        clients = [stack.enter_context(relays.client(f"edge{n}", where)) for n in range(5)]
        until(lambda: len(clients[0].snapshot(keys.SHARED).held) == 200)
        with mock.patch.object(Pages, "_read", side_effect=AssertionError("read again")):
            for client in clients:
                assert len(client.snapshot(keys.SHARED).held) == 200
            engine.put(keys.said_by("edge1")[1], b"of another area")
            assert len(clients[1].snapshot(keys.SHARED).held) == 200
        engine.put(keys.intent("rules/0100"), b"changed")
        for client in clients:
            held = {kv.key: kv.value for kv in client.snapshot(keys.SHARED).held}
            assert held[keys.intent("rules/0100")] == b"changed"


def test_a_node_that_was_away_for_longer_than_changes_are_kept_misses_none(
    relays: Relays, engine: Engine
) -> None:
    with (
        mock.patch.object(feed, "_KEPT", 20),
        mock.patch.object(server, "_EVENTS", 7),
        relays.relay("relay1") as (where, relay),
        relays.client("edge7", where) as seven,
    ):
        start = engine.put(keys.intent("rules/first"), b"x")
        until(lambda: relay._pages.feed.reached >= start)
        written: list[tuple[int, str]] = []
        for number in range(100):
            swaps = [Swap(keys.intent(f"rules/{number}-{part}"), b"x", None) for part in range(10)]
            revision = engine.swap(swaps).revision
            written += [(revision, swap.key) for swap in swaps]
        for after in (start, written[500][0], written[-20][0]):
            found, watch = list[tuple[int, str]](), seven.watch(keys.SHARED, after)
            wanted = [change for change in written if change[0] > after]
            for batch in watch:
                found += [(kv.revision, kv.key) for kv in batch.changes]
                if len(found) >= len(wanted):
                    break
            watch.cancel()
            assert found == wanted
        newest = engine.put(keys.intent("rules/last"), b"x")
        direct = Engine(relays.endpoints)
        _compact(direct, newest)
        direct.close()
        with pytest.raises(CompactedError):
            list(seven.watch(keys.SHARED, start))


def _compact(engine: Engine, revision: int) -> None:
    channel, _ = engine.connection.channel()
    compact = channel.unary_unary(
        "/etcdserverpb.KV/Compact",
        request_serializer=bytes,
        response_deserializer=bytes,
    )
    size, number = bytearray(b"\x08"), revision
    while number > 0x7F:
        size.append(number & 0x7F | 0x80)
        number >>= 7
    size.append(number)
    compact(bytes(size), timeout=5)


def test_nodes_are_sent_away_while_the_engine_is_and_follow_again_afterwards(
    relays: Relays, engine: Engine, own_etcd: Etcd
) -> None:
    with relays.relay("relay1") as (where, _), relays.client("edge7", where) as seven:
        after = engine.put(keys.intent("rules/1"), b"x")
        watch = seven.watch(keys.SHARED, after)
        own_etcd.kill()
        began = time.monotonic()
        with pytest.raises(EngineError):
            list(watch)
        assert time.monotonic() - began > 1, "a short loss ends no watch"
        with pytest.raises(EngineError):
            seven.get(keys.FLEET)
        own_etcd.start()
        until(lambda: _put(engine))
        until(lambda: _reads(seven))
        changes = iter(seven.watch(keys.SHARED, after))
        assert [kv.key for kv in next(changes).changes] == [keys.intent("rules/2")]


def _put(engine: Engine) -> bool:
    try:
        return bool(engine.put(keys.intent("rules/2"), b"x"))
    except EngineError:
        return False


def _reads(engine: Engine) -> bool:
    try:
        return engine.get(keys.intent("rules/2")) is not None
    except EngineError:
        return False


def test_a_renewed_certificate_is_served(relays: Relays, engine: Engine) -> None:
    with (
        mock.patch("xdpctl.fleet.relay.relay._SLOWLY", 0.2),
        relays.relay("relay1") as (where, _),
        relays.client("edge7", where) as seven,
    ):
        before, old = _served(where), (relays.folder / "relay1" / CERTIFICATE).read_bytes()
        changes = seven.watch(keys.SHARED, engine.put("x", b"x"))
        names, key = addresses_of(old), public_pem(old)
        engine.put(
            keys.CERTIFICATES + "relay1",
            issued(relays.authority, "relay1", names, key=key).certificate,
        )
        with pytest.raises(EngineError):
            list(changes)
        until(lambda: _reads_fleet(seven))
        assert _served(where) != before


def _served(where: str) -> str:
    host, _, port = where.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


def test_another_epoch_ends_what_nodes_follow(relays: Relays, engine: Engine) -> None:
    engine.put(keys.EPOCH, b"0001-a")
    with relays.relay("relay1") as (where, relay), relays.client("edge7", where) as seven:
        until(lambda: relay._pages.feed.up)
        until(lambda: _reads_fleet(seven))
        watch = seven.watch(keys.SHARED, engine.put("x", b"x"))
        engine.put(keys.EPOCH, b"0002-b")
        with pytest.raises(EngineError):
            list(watch)
        until(lambda: _reads_fleet(seven))
        assert seven.epoch == "0002-b"


def _reads_fleet(engine: Engine) -> bool:
    try:
        return engine.get(keys.FLEET) is not None
    except EngineError:
        return False


def test_a_relay_goes_on_while_a_member_of_the_engine_dies(tmp_path: Path) -> None:
    with cluster("one", "two", "three") as members:
        direct = Engine([member.endpoint for member in members], prefix="relayed/")
        until(lambda: _put(direct))
        relays = Relays(tmp_path, [member.endpoint for member in members], "relayed/")
        with relays.relay("relay1") as (where, relay), relays.client("edge7", where) as seven:
            watch = seven.watch(keys.SHARED, direct.put("x", b"x"))
            asked = relay._engine.endpoint
            next(member for member in members if member.endpoint == asked).kill()
            until(lambda: _put(direct))
            assert [kv.key for kv in next(iter(watch)).changes] == [keys.intent("rules/2")]
        direct.close()
