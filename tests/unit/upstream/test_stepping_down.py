# SPDX-License-Identifier: GPL-2.0-or-later
"""When an announcement ends: a table of situations."""

from typing import Any

import pytest

from xdpctl.model.announcement import Announcement
from xdpctl.model.route import Flow
from xdpctl.upstream.stepping_down import Situation, plan

NOW = 1_000
ISP, NOTHING = frozenset({"isp1"}), frozenset[str]()


def announced(number: str = "a", ends: int = NOW, probing: bool = False) -> Announcement:
    return Announcement(
        id=number, peer="isp1", route=Flow("dst 198.51.100.7"), what="", cost="",
        by="root", at=1.0, sent_at=1.0, expires_ns=ends, probing=probing,
    )  # fmt: skip


def situation(**more: Any) -> Situation:
    ids = frozenset("abc")
    usual = Situation(NOW, NOTHING, ISP, ids, ids, ids, lambda _: False, lambda _: "")
    return usual._replace(**more)


def said(listed: list[Announcement], at: Situation) -> dict[str, str]:
    made = plan(listed, at)
    return (
        {each.id: "renew" for each in made.renew}
        | {each.id: "probe" for each in made.probe}
        | {each.id: why for each, why in made.end}
    )


@pytest.mark.parametrize(
    ("each", "at", "what"),
    [
        (announced(ends=NOW + 1), situation(), None),
        (announced(ends=NOW + 1), situation(full=ISP), None),
        (announced(), situation(), "probe"),
        (announced(), situation(full=ISP), "renew"),
        (
            announced(),
            situation(full=ISP, idle=lambda _: True),
            "it takes nothing of what fills the link",
        ),
        (announced(), situation(told=NOTHING), "its time was over before this start"),
        (announced(), situation(sent=NOTHING), "it was never sent"),
        (announced(ends=NOW + 1, probing=True), situation(), None),
        (announced(ends=NOW + 1, probing=True), situation(full=ISP), "renew"),
        (announced(probing=True), situation(), "the link did not fill without it"),
        (announced(probing=True), situation(known=NOTHING), "its time is over"),
        (announced(probing=True), situation(full=ISP), "renew"),
        (announced(probing=True), situation(probed=NOTHING), "probe"),
        (announced(probing=True), situation(probed=NOTHING, full=ISP), "renew"),
        (announced(ends=NOW + 1), situation(refusal=lambda _: "it is not ours"), "it is not ours"),
    ],
)
def test_an_announcement_is_kept_probed_or_ended_by_the_situation(
    each: Announcement, at: Situation, what: str | None
) -> None:
    assert said([each], at).get("a") == what


def test_announcements_are_probed_one_at_a_time() -> None:
    three = [announced(number) for number in "abc"]
    assert said(three, situation()) == {"a": "probe"}
    under_way = announced("a", ends=NOW + 1, probing=True)
    assert said([*three[1:], under_way], situation()) == {}
    over = announced("a", probing=True)
    assert said([over, *three[1:]], situation()) == {
        "a": "the link did not fill without it",
        "b": "probe",
    }
