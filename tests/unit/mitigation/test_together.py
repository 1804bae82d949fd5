# SPDX-License-Identifier: GPL-2.0-or-later
"""All drops of detectors are judged together, by typical legitimate packets."""

import pytest

from tests.support.apiclient import Api
from tests.support.hooked import VICTIM, event, say, standing
from xdpctl.model import possible
from xdpctl.model.match import text


def drop(box: Api, identity: str, match: str) -> str:
    """Request a drop; return why it is refused, "" if it is not."""
    said = say(box, "event", event(identity, match=f"dst {VICTIM} {match}"))
    return " ".join(each["why"] for each in said["refused"])


@pytest.mark.parametrize(
    ("match", "what"),
    [
        ("ttl 1-255", "all traffic"),
        ("length >=20", "all traffic"),
        ("tcp dst-port 0-65535", "all TCP traffic"),
        ("tcp", "all TCP traffic"),
        ("tcp flags syn", "all new TCP connections"),
        ("src 0.0.0.0/1", "all traffic"),
        ("length <=500", "all new TCP connections"),
    ],
)
def test_a_drop_of_everything_is_refused_in_any_notation(box: Api, match: str, what: str) -> None:
    assert f"may not drop {what} to" in drop(box, "1", match)
    assert standing(box) == {}


def test_two_drops_may_not_together_drop_everything(box: Api) -> None:
    assert drop(box, "1", "ttl <=80") == ""
    assert "together with 1 drops that stand" in drop(box, "2", "ttl >=81")
    assert len(standing(box)) == 1


@pytest.mark.parametrize("match", ["udp", "udp src-port 53 length >=512", "tcp flags !syn&!rst"])
@pytest.mark.parametrize("family", [4, 6])
def test_drops_that_leave_enough_are_accepted(match: str, family: int) -> None:
    assert possible.left_out(possible.taken(text.parse(match), family)) == ""
