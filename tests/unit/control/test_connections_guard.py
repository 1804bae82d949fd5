# SPDX-License-Identifier: GPL-2.0-or-later
"""What a change does to this host's connections is looked at when it is made, whoever asks."""

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
from xdpctl.control.operations import rules
from xdpctl.errors import UnconfirmedError
from xdpctl.lists.refresher import Refresher
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.match import Match
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


def test_a_refreshed_feed_that_begins_to_list_them_is_refused(control: Controller) -> None:
    lists: object = Lists(["45.0.0.0/24"], ["45.0.0.0/24"])
    put(control, wanted("bad", "45.9.0.0/24", feed=SOURCE, spare=Spare.NONE))
    refresher = Refresher(control, lists)  # type: ignore[arg-type]
    with pytest.raises(UnconfirmedError, match=r"45\.0\.0\.0/24 of the set bad cuts off 9 of this"):
        refresher.refresh(control.state.sets["bad"])
    assert texts(control, "bad") == ["45.9.0.0/24"], "the last good list stays"
    refresher.refresh(control.state.sets["bad"], force=True)
    assert texts(control, "bad") == ["45.0.0.0/24"]


def test_a_list_that_spares_them_is_not(control: Controller) -> None:
    put(control, wanted("bad", "45.0.0.0/24", feed=SOURCE, spare=Spare.KNOWN))


def test_of_very_many_a_part_stands_for_all(control: Controller) -> None:
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
