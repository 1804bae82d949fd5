# SPDX-License-Identifier: GPL-2.0-or-later
"""A detector's event on a running box under a flood: dropped at once, and ended with the attack."""

import time
from typing import Any
from zipfile import ZipFile

from tests.lab.conftest import SERVER, Street
from tests.lab.questions import counted, in_kernel
from tests.lab.test_monitor_live import cli
from xdpctl.abi.constants import Reason
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

FLOOD = [f"203.0.113.{n}" for n in range(1, 200)]
NOTIFY = ("hook", "fastnetmon", "--", SERVER, "incoming", "90000")
REPORT = "Attack type: udp_flood\nPeak attack power: 90000 packets per second\n"
LIMIT = 5_000  # packets/s that the measure against a UDP flood lets through


def rules(box: Box) -> list[dict[str, Any]]:
    return list(box.client.pages())


def kept(box: Box, incident: str) -> dict[str, Any]:
    found: dict[str, Any] = box.client.call("GET", f"/v1/incidents/{incident}")["evidence"]
    return found


def said(box: Box, **event: Any) -> dict[str, Any]:
    answer: dict[str, Any] = box.client.call("POST", "/v1/hooks/event", json=event)
    return answer


def test_a_victim_is_protected_until_the_detector_reports_the_end(
    street: Street, street_box: Box
) -> None:
    street_box.start()
    with street.flood(FLOOD):
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 10_000)
        done = cli(street_box, *NOTIFY, "ban", stdin=REPORT)
        assert done.returncode == 0, done.stderr
        (rule,) = rules(street_box)
        assert rule["text"].startswith(f"dst {SERVER} proto udp")  # made from the flood's packets
        assert rule["limit"]["pps"] <= LIMIT
        assert eventually(lambda: counted(street_box, Reason.LIMITED) > 10_000)
        began, before = time.monotonic(), counted(street_box, Reason.NO_RULE)
        time.sleep(2)
        passed = counted(street_box, Reason.NO_RULE) - before
        assert passed < 1.1 * LIMIT * (time.monotonic() - began + 0.1)
        (held,) = street_box.client.call("GET", "/v1/incidents")["incidents"]
        assert eventually(lambda: kept(street_box, held["id"])["packets"] >= 50)
        street_box.kill()  # in the middle of the attack: the rule and its event outlive it
        street_box.start()
        assert [r["id"] for r in rules(street_box)] == [rule["id"]]
        assert cli(street_box, *NOTIFY, "unban").returncode == 0
        time.sleep(4)
        assert [r["id"] for r in rules(street_box)] == [rule["id"]], "the flood is still there"
    assert eventually(lambda: rules(street_box) == [])
    (held,) = street_box.client.call("GET", "/v1/incidents")["incidents"]
    assert (held["subject"], held["open"], held["events_told"]) == (f"{SERVER}/32", False, 2)
    assert held["packets"] > 10_000, "what the limit dropped, across the restart"
    evidence = kept(street_box, held["id"])
    assert {one["address"] for one in evidence["top_sources"]} <= set(FLOOD)
    assert sum(count for _, count in evidence["top_services"]) == evidence["packets"]
    archive = street_box.directory / "held.zip"
    done = cli(street_box, "incident", "export", held["id"], "-w", str(archive))
    assert done.returncode == 0, done.stderr
    key = cli(street_box, "incident", "verify").stdout.strip()
    done = cli(street_box, "incident", "verify", str(archive), "--key", key)
    assert done.returncode == 0, done.stderr
    assert held["id"] in done.stdout
    with ZipFile(archive) as parts:
        assert "packets.pcapng" in parts.namelist()
        assert b"the detector ended it" in parts.read("report.md")


def test_sources_are_dropped_and_released_and_a_freeze_stops_new_ones(
    street: Street, street_box: Box
) -> None:
    street_box.start()
    with street.flood(FLOOD[:50]):
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 10_000)
        answer = said(street_box, phase="began", id="7", sources=[*FLOOD[:50], SERVER], ttl=600)
        assert len(answer["rules"]) == 50
        assert [one["what"] for one in answer["refused"]] == [f"{SERVER}/32"], "its own address"
        time.sleep(0.05)
        before = counted(street_box, Reason.NO_RULE)
        time.sleep(0.3)
        assert counted(street_box, Reason.NO_RULE) == before, "not one packet more"
    assert cli(street_box, "automatic", "off").returncode == 0
    assert said(street_box, phase="began", id="8", sources=["203.0.113.250"])["rules"] == []
    ended = said(street_box, phase="ended", id="7")
    assert len(ended["released"]) == 50
    assert not any(prefix.startswith("203.0.113.") for prefix in in_kernel(street_box))


def test_automatic_rules_are_undone_by_command(street_box: Box) -> None:
    street_box.start()
    street_box.client.call("POST", "/v1/rules", json={"match": {"source": "203.0.113.1"}})
    said(street_box, phase="began", id="9", sources=["203.0.113.2", "203.0.113.3"])
    done = cli(street_box, "undo", "--since", "5m")
    assert (done.returncode, done.stdout) == (0, "removed 2 rules\n  undo it with: xdpctl undo 2\n")
    assert [rule["id"] for rule in rules(street_box)] == ["203.0.113.1_32"]
