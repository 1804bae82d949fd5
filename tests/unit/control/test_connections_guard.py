# SPDX-License-Identifier: GPL-2.0-or-later
"""The effect of a change on this host's connections is checked when it is made, for any caller."""

import re
from collections.abc import Iterator
from pathlib import Path
from socket import inet_aton

import pytest

from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.setcalls import put, texts, wanted
from tests.unit.lists.test_refresher import SOURCE, Lists
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.controller import Controller
from xdpctl.control.guards.connections import ConnectionsGuard
from xdpctl.control.operations import rules, sets
from xdpctl.errors import UnconfirmedError
from xdpctl.lists.refresher import Refresher
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.match import Match
from xdpctl.model.match.text import parse
from xdpctl.model.rate import Rate
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import OPERATOR

_WHO = Caller("anna", Role.ADMIN, OPERATOR)
_MANY = {inet_aton(f"45.1.{n // 250}.{1 + n % 250}"): 1 for n in range(5_000)}


@pytest.fixture
def control(tmp_path: Path, datapath: FakeDatapath, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        peers = {inet_aton(f"45.0.0.{n}"): 1 for n in range(1, 10)}
        running.guard = ConnectionsGuard(lambda: Peers(peers)).check
        yield running


def add(control: Controller, source: str, action: Action = Action.DROP, **more: object) -> None:
    ask = RuleRequest(Match(parse_prefix(source)), action, Mode.ENFORCE, None, None, "", (), **more)  # type: ignore[arg-type]
    change = control.change_by(_WHO)
    control.submit(lambda draft: rules.add(draft, ask, _WHO), change).result()


def test_a_refreshed_feed_that_begins_to_list_most_peers_is_refused(control: Controller) -> None:
    lists: object = Lists(["45.0.0.0/24"], ["45.0.0.0/24"])
    put(control, wanted("bad", "45.9.0.0/24", feed=SOURCE, spare=Spare.NONE))
    refresher = Refresher(control, lists)  # type: ignore[arg-type]
    with pytest.raises(UnconfirmedError, match=r"45\.0\.0\.0/24 of the set bad cuts off 9 of this"):
        refresher.refresh(control.state.sets["bad"])
    assert texts(control, "bad") == ["45.9.0.0/24"], "the last good list stays"
    refresher.refresh(control.state.sets["bad"], force=True)
    assert texts(control, "bad") == ["45.0.0.0/24"]


def test_a_list_that_spares_connections_is_not_refused(control: Controller) -> None:
    put(control, wanted("bad", "45.0.0.0/24", feed=SOURCE, spare=Spare.KNOWN))


@pytest.mark.parametrize(("number", "most"), [(1, 10_000), (0, 3_000)])
def test_with_many_peers_those_with_most_connections_are_checked_singly(
    control: Controller, number: int, most: int
) -> None:
    """A sample could leave out the peer with most connections, or take it for many peers."""
    peers = [inet_aton(f"45.1.{n // 250}.{1 + n % 250}") for n in range(2_001)]
    held = {peer: most if place == number else 1 for place, peer in enumerate(sorted(peers))}
    held |= {inet_aton(f"45.2.0.{n}"): 70 for n in range(1, 101)}
    control.guard = ConnectionsGuard(lambda: Peers(held)).check
    if most > 7_000:
        with pytest.raises(UnconfirmedError, match=r"12,000 of this host's 19,000"):
            add(control, "45.1.0.0/16")
    else:
        add(control, "45.1.0.0/16")


def test_a_sparing_set_inside_a_drop_needs_force_to_be_removed(control: Controller) -> None:
    put(control, wanted("bad", "45.0.0.0/24", spare=Spare.KNOWN))
    add(control, "45.0.0.0/16")
    change = control.change_by(_WHO)
    with pytest.raises(UnconfirmedError, match=r"45\.0\.0\.0/16 cuts off 9"):
        control.submit(lambda draft: sets.remove(draft, "bad", _WHO, None, {}), change).result()


@pytest.mark.parametrize(
    "match", ["tcp flags ack", "tcp src-port 1024-65535", "tcp dst-port 1-65535", "tcp"]
)
def test_a_match_that_hits_most_connections_needs_force(control: Controller, match: str) -> None:
    limit = Rate(bps=1000) if match == "tcp" else None
    action = Action.LIMIT if limit else Action.DROP
    ask = RuleRequest(parse(match), action, spare=Spare.NONE, limit=limit)
    change = control.change_by(_WHO)
    with pytest.raises(UnconfirmedError):
        control.submit(lambda draft: rules.add(draft, ask, _WHO), change).result()


def test_with_very_many_peers_a_sample_is_checked(control: Controller) -> None:
    control.guard = ConnectionsGuard(lambda: Peers(_MANY)).check
    with pytest.raises(UnconfirmedError) as refused:
        add(control, "45.1.0.0/16")
    (said,) = re.findall(r"([\d,]+) of this host's 5,000", str(refused.value))
    assert 4_900 < int(said.replace(",", "")) <= 5_100
    add(control, "45.1.0.0/21")  # 2,000 of them


def test_each_change_of_a_batch_is_judged_by_itself(control: Controller) -> None:
    for n in range(1, 10):
        add(control, f"45.0.0.{n}")
    assert len(control.state.rules) == 9
