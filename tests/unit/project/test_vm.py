# SPDX-License-Identifier: GPL-2.0-or-later
"""Evaluating a run of the kernel tests on another kernel."""

from collections import Counter
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.vm import claims, inline, owner
from tests.vm.__main__ import _page, results
from tests.vm.guest import GUESTS, GuestError, Ran
from tests.vm.owner import Owner

REPORT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="tests.kernel.test_verdicts" name="a"/>
<testcase classname="tests.kernel.test_verdicts" name="b"><failure/></testcase>
<testcase classname="tests.kernel.test_loader" name="c"><skipped/></testcase>
<testcase classname="tests.vm.inside.test_inside_virtio" name="d"/>
<testcase classname="tests.kernel.test_new" name="e"><error/></testcase>
</testsuite></testsuites>"""


def test_tests_are_counted_by_file() -> None:
    two = f"@@ fact 1\r\n?? flood\r\n{REPORT}\n{REPORT.replace('test_new', 'test_newer')}"
    found = results(Ran("6.1.0", True, "", two))
    assert found.pop("test_newer") == Counter(error=1)
    assert found.pop("test_verdicts") == Counter(passed=2, failure=2)
    found = results(Ran("6.1.0", True, "", REPORT))
    assert found == {
        "test_verdicts": Counter(passed=1, failure=1),
        "test_loader": Counter(skipped=1),
        "virtio": Counter(passed=1),
        "test_new": Counter(error=1),
    }


def test_the_page_has_a_row_a_feature_and_a_column_a_kernel() -> None:
    page = _page({name: (Ran(name, True, "", REPORT), 61.0) for name in GUESTS}, "whole")
    lines = page.splitlines()
    assert "the whole set, under emulation" in page
    assert "| feature | 6.1 | 6.12 | newest | arm64 |" in lines
    bad = "1, **1 failed**"
    assert f"| verdicts on every kind of frame | {bad} | {bad} | {bad} | {bad} |" in lines
    assert lines[-1].startswith("| seconds, without making the image | 61")
    assert lines[-2].startswith("| test_new | 0, **1 failed**"), "what is new has a row, too"


def test_the_owner_handles_each_request_once_and_reports_failures(tmp_path: Path) -> None:
    handed, done = tmp_path / "result", SimpleQueue[str]()
    with Owner(handed, done.put):
        handed.write_bytes(b"@@ a 1\r\n?? calm\r\n?? flo")
        assert done.get(timeout=5) == "calm"
        with handed.open("ab") as file:
            file.write(b"od\r\n")
        assert done.get(timeout=5) == "flood"
    assert done.empty()
    assert owner.told(handed.read_text()) == {"a": "1"}
    assert owner.rest(handed.read_text()) == ""

    def broken(word: str) -> None:
        done.put(word)
        raise OSError("no such card")

    with pytest.raises(GuestError, match="no such card"), Owner(handed, broken):
        done.get(timeout=5)


def crossed() -> inline.Seen:
    """The counts of frames if everything works."""
    names = {**inline.INWARD, **inline.OUTWARD}
    kept = ("LACP", "LLDP", "EAPOL")
    seen = inline.Seen({(w, n): 20 for w in inline.ROUNDS for n in names if n not in kept})
    for name in {**inline.BLOCKED, **inline.LIMITED}:
        seen["rules", name] = seen["everything", name] = 0
    seen["rules", "what a limit of 1 packet/s matches"] = 5
    for name in inline.OTHERS:
        seen["everything", name] = 0
    return seen


def test_a_bridge_passes_if_all_required_frames_come_through() -> None:
    assert inline.faults(crossed()) == []


@pytest.mark.parametrize(
    ("when", "name", "count", "says"),
    [
        ("rules", "a blocked source", 1, "not 0-0"),
        ("rules", "IPv4", 19, "not 20-20"),
        ("everything", "ARP", 0, "not 20-20"),
        ("everything", "IPv6", 1, "not 0-0"),
        ("attached", "the way out, to a friend", 21, "not 20-20"),
        ("rules", "what a limit of 1 packet/s matches", 20, "not 1-10"),
        ("bare", "IPv4", 0, "does not cross the bridge"),
        ("bare", "STP", 7, "7 of 20 without a filter"),
    ],
)
def test_a_frame_too_many_or_too_few_is_reported(
    when: str, name: str, count: int, says: str
) -> None:
    seen = crossed()
    seen[when, name] = count
    assert any(one.startswith(name) and says in one for one in inline.faults(seen))


def lived() -> dict[str, str]:
    """The facts of a machine's life without faults."""
    held = [*("block", "upgrade", "killed", "replugged", "renamed", "jumbo", "full", "boot")]
    held += ["resized"]
    held += ["reinstalled", "bpffs", "readonly", "readonly.killed"]
    facts = {f"{name}.{who}": n for name in held for who, n in (("hostile", "0"), ("friend", "9"))}
    ports = ("start", "replugged", "renamed", "jumbo", "boot", "bpffs", "resized")
    facts |= {f"{name}.port": "attached native" for name in ports}
    return {
        **facts,
        **{"start.seconds": "9", "user": "xdpctl", "exposure": "1.6", "before.hostile": "7"},
        **{"installed": "1", "upgrade.version": "2", "killed.seconds": "3"},
        **{"upgrade.seconds": "8", "upgrade.state": "ii", "upgrade.rules": "True"},
        **{"unplugged.port": "absent", "replugged.seconds": "1", "replugged.early": "0"},
        **{"jumbo.mtu": "9000", "jumbo": "taken", "plain.port": "attached generic"},
        **{"full.status": "503", "full.says": "no", "full.after": "201"},
        **{"boot.early": "0", "boot.before.network": "True", "boot.rules": "203.0.113.0_24"},
        **{"boot.cycles": "0", "boot.early.unit": "active", "removed.xdp": "False"},
        **{"reinstalled.units": "enabled", "loader.seccomp": "2"},
        **{f"unconfigured.xdpctl{unit}.service": "0,78,failed" for unit in ("", "-loader")},
        **{"boot.after.card.seconds": "2", "readonly.status": "503", "readonly.says": "no"},
        **{"readonly.after": "0", "purge.xdp": "False", "purge.left": "[]", "purge.hostile": "7"},
    }


def test_a_machines_life_passes_if_every_claim_holds() -> None:
    told = [claims.judged(claim, lived()) for claim in claims.CLAIMS]
    assert [outcome for outcome, holds in told if not holds] == []


@pytest.mark.parametrize(
    ("fact", "value", "claim"),
    [
        ("boot.early", "1", "Reboot"),
        ("boot.before.network", "False", "Reboot"),
        ("boot.cycles", "1", "Reboot"),
        ("reinstalled.units", "disabled, enabled", "remove"),
        ("upgrade.hostile", "3", "Upgrade"),
        ("upgrade.version", "1", "Upgrade"),
        ("upgrade.state", "iF", "Upgrade"),
        ("upgrade.rules", "False", "Upgrade"),
        ("resized.hostile", "1", "capacity"),
        ("killed.friend", "0", "kill -9"),
        ("exposure", "3.1", "Confinement"),
        ("loader.seccomp", "0", "Confinement"),
        ("unconfigured.xdpctl.service", "7,78,activating", "no interface"),
        ("start.port", "attached generic", "dpkg -i"),
        ("purge.left", "['/run/xdpctl']", "purge"),
        ("purge.hostile", "0", "purge"),
        ("full.status", "201", "disk is full"),
    ],
)
def test_faults_in_a_machines_life_are_reported(fact: str, value: str, claim: str) -> None:
    facts = {**lived(), fact: value}
    broken = [c.doing for c in claims.CLAIMS if not claims.judged(c, facts)[1]]
    assert len(broken) == 1
    assert claim in broken[0]


def test_a_claim_without_a_reported_fact_fails() -> None:
    outcomes = [claims.judged(claim, {}) for claim in claims.CLAIMS]
    assert not any(holds for _, holds in outcomes)
    assert all(outcome.startswith("not found out: ") for outcome, _ in outcomes)
