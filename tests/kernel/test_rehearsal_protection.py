# SPDX-License-Identifier: GPL-2.0-or-later
"""Rehearsals with what the filter protects, and as on an outside interface."""

from pathlib import Path

import pytest

from tests.support.recordings import recorded
from xdpctl.abi.constants import Reason, Side
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.config.settings import Settings
from xdpctl.lab.replay.protection import Protecting
from xdpctl.lab.replay.replay import Clocked, rehearsing
from xdpctl.model.protection import CONFIGURED, OWN_ADDRESS, Protection

pytestmark = pytest.mark.usefixtures("_able")
START = 1_700_000_000 * 10**9


def test_a_protected_source_passes_a_drop_around_it(tmp_path: Path, rehearsals: Settings) -> None:
    (tmp_path / "rules").write_text("192.0.2.0/24")
    sent = [(START, source, 60) for source in ("192.0.2.7", "192.0.2.8", "192.0.2.8")]
    path = recorded(tmp_path / "x.pcapng", sent)
    protecting = Protecting(Protection({parse_prefix("192.0.2.8"): OWN_ADDRESS}))
    for around, reasons in (
        (protecting, {Reason.PROTECTED: 2, Reason.DROPPED: 1}),
        (Protecting(), {Reason.DROPPED: 3}),
    ):
        with rehearsing(rehearsals, tmp_path / "rules", around) as (held, imported):
            assert (imported.rejected, held.limits) == (0, Clocked.NO_LIMITS)
            assert held.run(path).reasons == reasons


def test_rules_that_the_filter_would_refuse_are_refused(
    tmp_path: Path, rehearsals: Settings
) -> None:
    """A drop inside a protected prefix, and a drop of a logged-in user."""
    (tmp_path / "rules").write_text("192.0.2.8\n203.0.113.0/24\n198.51.100.9")
    protecting = Protecting(
        Protection({parse_prefix("192.0.2.8"): OWN_ADDRESS}), (parse_prefix("203.0.113.9"),)
    )
    with rehearsing(rehearsals, tmp_path / "rules", protecting) as (_, imported):
        assert [reject["line"] for reject in imported.rejects] == [1, 2]
    with rehearsing(rehearsals, tmp_path / "rules") as (_, imported):
        assert imported.rejected == 0


def test_on_an_outside_interface_our_own_sources_are_spoofed(
    tmp_path: Path, rehearsals: Settings
) -> None:
    ours, outer = parse_prefix("192.0.2.0/24"), parse_prefix("203.0.113.0/24")
    (tmp_path / "rules").write_text("203.0.113.7")
    sent = [(START, source, 60) for source in ("192.0.2.7", "203.0.113.7", "203.0.113.8")]
    path = recorded(tmp_path / "x.pcapng", sent)
    sides = {ours: Side.INSIDE, outer: Side.OUTSIDE}
    for outside, first in ((True, Reason.SPOOFED), (False, Reason.PROTECTED)):
        protecting = Protecting(
            Protection({ours: CONFIGURED}), outside=outside, sides=sides if outside else {}
        )
        with rehearsing(rehearsals, tmp_path / "rules", protecting) as (held, _):
            reasons = held.run(path).reasons
        assert reasons == {first: 1, Reason.DROPPED: 1, Reason.NO_RULE: 1}
