"""Incidents: one for each attack, from its first word to what its rules hit, however it ends."""

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import upkeep
from tests.unit.apiclient import Api, problem, running
from tests.unit.test_cli import Api as Client
from tests.unit.test_cli import Run, api, run
from tests.unit.test_hooks import OURS, VICTIM, Peers, event, fastnetmon, say
from xdpctl import frames
from xdpctl.capturing import CaptureAsk, Capturing, choose
from xdpctl.errors import ConflictError, EvidenceError
from xdpctl.incidents import export, ledger, meter, report
from xdpctl.incidents.model import (
    EVENTS_KEPT,
    RULES_KEPT,
    SOURCES_KEPT,
    Incident,
    decode,
    encode,
    name,
)
from xdpctl.prefix import Prefix, parse_prefix
from xdpctl.wire import CAPTURE_BYTES, Capture, Hits, Reason

__all__ = ["api", "run"]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 2000, OURS) as box:
        yield box


def incidents(box: Api, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = box.call("GET", "/v1/incidents", params=query).json()["incidents"]
    return found


def whole(box: Api, identity: str) -> dict[str, Any]:
    found: dict[str, Any] = box.call("GET", f"/v1/incidents/{identity}").json()
    return found


def quiet(box: Api) -> list[str]:
    """Four seconds in which nothing is hit."""
    box.context.releases.step(100.0)
    return box.context.releases.step(104.0)


def test_an_attack_is_one_incident_with_what_was_done_and_hit(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]
    slot = box.call("GET", f"/v1/rules/{rule['id']}").json()["slot"]
    box.datapath.hit_values[slot] = Hits(1_000, 64_000).pack()
    (held,) = incidents(box)
    assert (held["subject"], held["open"], held["packets"]) == (f"{VICTIM}/32", True, 1_000)
    box.clock.advance(60)
    assert say(box, "fastnetmon", fastnetmon("ban"))["incidents"] == [identity]
    box.clock.advance(60)
    assert say(box, "fastnetmon", fastnetmon("unban"))["held"] == [rule["id"]]
    quiet(box)
    told = whole(box, identity)
    assert [e["phase"] for e in told["events"]] == ["began", "began", "ended"]
    assert (told["open"], told["closed_at"] - told["opened_at"]) == (False, pytest.approx(120))
    assert (told["packets"], told["bytes"], told["rules_made"]) == (1_000, 64_000, 1)
    (ended,) = told["rules"]
    assert (ended["packets"], ended["why"]) == (1_000, "the detector ended it, and it was quiet")
    assert told["attacks"] == ["udp_flood"]
    assert incidents(box, open="true") == []


def test_a_second_vector_soon_after_is_the_same_one_and_later_another(box: Api) -> None:
    def attack(identity: str, kind: str) -> str:
        said = say(box, "event", event(identity, victim=VICTIM, attack=kind))
        (found,) = said["incidents"]
        return str(found)

    first = attack("1", "udp_flood")
    assert attack("2", "syn_flood") == first
    say(box, "event", event("1", "ended"))
    assert whole(box, first)["open"], "the other goes on"
    say(box, "event", event("2", "ended"))
    box.clock.advance(299)
    assert attack("3", "icmp_flood") == first
    assert whole(box, first)["open"], "opened again"
    say(box, "event", event("3", "ended"))
    box.clock.advance(301)
    second = attack("4", "udp_flood")
    assert second != first
    assert whole(box, first)["attacks"] == ["udp_flood", "syn_flood", "icmp_flood"]
    assert [one["id"] for one in incidents(box)] == [second, first]


def test_two_victims_are_two(box: Api) -> None:
    for victim in (VICTIM, "198.51.100.3"):
        say(box, "event", event(victim, victim=victim, attack="udp_flood"))
    assert {one["subject"] for one in incidents(box)} == {"198.51.100.2/32", "198.51.100.3/32"}
    assert len({one["id"] for one in incidents(box)}) == 2


def test_what_nobody_ends_runs_out_with_its_rules(box: Api) -> None:
    say(box, "event", event(sources=["203.0.113.7"], ttl=30))
    box.datapath.hit(parse_prefix("203.0.113.7"), Hits(7, 700))
    upkeep(box.controller, box.clock, 31)
    (held,) = incidents(box)
    told = whole(box, held["id"])
    assert (told["open"], told["closed_by"]) == (False, "nothing more was said")
    assert (told["rules"][0]["why"], told["packets"]) == ("its time was up", 7)
    assert told["subject"] == "sources named by event"
    assert (told["sources_named"], told["sources"]) == (1, ["203.0.113.7/32"])


def test_what_an_operator_took_back_is_on_record(box: Api) -> None:
    (identity,) = say(box, "event", event(sources=["203.0.113.7"]))["incidents"]
    box.datapath.hit(parse_prefix("203.0.113.7"), Hits(9, 900))
    box.call("POST", "/v1/automatic/undo", json={"since": "1h"})
    told = whole(box, identity)
    assert (told["rules"][0]["why"], told["packets"]) == ("undone by root", 9)


def test_what_a_detector_wrote_cannot_move_a_cursor(box: Api) -> None:
    evil = "1\x1b[2J\x07\n2"
    said = say(box, "event", event(evil, sources=["203.0.113.7"], note=evil))
    told = whole(box, said["incidents"][0])["events"][0]
    assert (told["event"], told["note"]) == ("1 [2J  2", "1 [2J  2")
    assert "\\u001b" not in box.call("GET", "/v1/audit").text
    assert say(box, "event", event(evil, "ended"))["released"], "the id itself is what was said"


def test_they_outlive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, 2000, OURS) as box:
        (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    with running(tmp_path, 2000, OURS) as box:
        assert whole(box, identity)["open"]
        say(box, "fastnetmon", fastnetmon("unban"))
        assert not whole(box, identity)["open"], "the end finds what began before"


def test_trying_off_and_what_is_ignored_leave_no_record(box: Api) -> None:
    say(box, "event", event(victim=VICTIM, attack="udp_flood"), params={"dry_run": "true"})
    say(box, "event", event(victim="192.0.2.1", attack="udp_flood"))
    box.call("PUT", "/v1/automatic", json={"mode": "off"})
    say(box, "event", event(victim=VICTIM, attack="udp_flood"))
    assert incidents(box) == []


def test_a_record_is_bounded_and_counts_all(box: Api) -> None:
    sources = [f"203.0.{n >> 8}.{n & 255}" for n in range(300)]
    for n in range(EVENTS_KEPT + 20):
        say(box, "event", event("same", sources=sources, note=str(n)))
    (held,) = incidents(box)
    told = whole(box, held["id"])
    assert (told["events_told"], len(told["events"])) == (EVENTS_KEPT + 20, EVENTS_KEPT)
    assert (told["rules_made"], len(told["rules"])) == (300, RULES_KEPT)
    assert (told["sources_named"], len(told["sources"])) == (300, SOURCES_KEPT)


def test_the_oldest_make_room(box: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "INCIDENTS_MAX", 3)
    for n in range(5):
        victim = f"198.51.100.{n}"
        say(box, "event", event(str(n), victim=victim, attack="udp_flood"))
        say(box, "event", event(str(n), "ended"))
        box.clock.advance(10)
    kept = [one["subject"] for one in incidents(box)]
    assert kept == ["198.51.100.4/32", "198.51.100.3/32", "198.51.100.2/32"]


def test_names_are_times_and_never_the_same() -> None:
    assert name("x", 1.7e9, frozenset()) == "20231114-221320"
    taken = frozenset(("20231114-221320", "20231114-221320-2"))
    assert name("x", 1.7e9, taken) == "20231114-221320-3"


def test_a_record_comes_back_as_it_was() -> None:
    held = Incident("a", "b", 1.0, 2.0, 3.0, active=("event-1",))
    assert decode(encode(held)) == held


def test_what_is_not_there_is_404(box: Api) -> None:
    problem(box.call("GET", "/v1/incidents/20261125-081900"), 404, "not-found")


def sender(address: str, count: int, **more: Any) -> dict[str, Any]:
    nowhere = {"connected": False, "inside": False, "country": "", "asn": 0, "as_name": ""}
    return {"address": address, "packets": count, **nowhere, **more}


def shown(**more: Any) -> dict[str, Any]:
    told = {
        "at": 1.7e9 + 1,
        "monotonic": 5.0,
        "detector": "fastnetmon",
        "phase": "began",
        "event": "198.51.100.2 incoming",
        "attack": "udp_flood",
        "pps": 90_000.0,
        "bps": 0.0,
        "note": "<script>alert(1)</script> | `x` [a](b)",
        "done": 1,
    }
    rule = {
        "id": "sig-1",
        "what": "dst 198.51.100.2 proto udp",
        "action": "limit",
        "mode": "enforce",
        "at": 1.7e9 + 1,
        "ended_at": 1.7e9 + 60,
        "why": "the detector ended it",
        "packets": 123_456,
        "bytes": 1,
    }
    held = {
        "id": "20231114-221320",
        "subject": "198.51.100.2/32",
        "open": False,
        "opened_at": 1.7e9,
        "updated_at": 1.7e9 + 60,
        "closed_at": 1.7e9 + 60,
        "closed_by": "the detector ended it",
        "detectors": ["fastnetmon"],
        "attacks": ["udp_flood"],
        "peak_pps": 90_000.0,
        "peak_bps": 0.0,
        "events_told": 3,
        "rules_made": 1,
        "rules_ended": 1,
        "rules_raised": 0,
        "clock_error": None,
        "sources_named": 2,
        "packets": 123_456,
        "bytes": 10,
        "events": [told],
        "rules": [rule],
        "sources": ["203.0.113.7/32"],
        "evidence": {
            "packets": 60,
            "sources": 2,
            "bytes": 9_000,
            "top_sources": [
                sender("192.0.2.9", 50, country="US", asn=64496, as_name="=1+1"),
                sender("192.0.2.8", 10, connected=True),
            ],
            "top_services": [["udp from 53", 60]],
            "rates": [[1.7e9 + n, 1_000.0 * n, 8e6, 50.0, 1_000.0 * n] for n in range(10)],
        },
    }
    return held | more


def test_the_command_line_lists_and_shows_them(api: Client, run: Run) -> None:
    api.answers["GET", "/v1/incidents"] = {"incidents": [shown()]}
    code, out, _ = run("incidents", "--open")
    assert (code, "198.51.100.2/32" in out, "90 k" in out) == (0, True, True)
    assert api.calls[0][2]["params"] == {"limit": 100, "open": "true"}
    api.answers["GET", "/v1/incidents/20231114-221320"] = shown()
    _, out, _ = run("incident", "show", "20231114-221320")
    assert "22:13:21.000  fastnetmon began 198.51.100.2 incoming udp_flood" in out
    assert "123,456 packets hit" in out
    assert "and 2 more events" in out
    assert json.loads(run("incident", "show", "20231114-221320", "--json")[1]) == shown()
    api.answers["GET", "/v1/incidents"] = {"incidents": []}
    assert run("incidents")[1] == "no incidents\n"


def test_a_report_has_no_meaning_that_an_attacker_gave_it(api: Client, run: Run) -> None:
    api.answers["GET", "/v1/incidents/x"] = shown()
    code, out, _ = run("incident", "report", "x")
    assert code == 0
    assert out.startswith("# Incident 20231114-221320\n")
    assert "&lt;script&gt;" in out
    assert "<script>" not in out
    assert "\\[a\\]\\(b\\)" in out
    assert "\\| \\`x\\`" in out
    assert "possibly spoofed" in out
    assert "- and 1 more" in out


def test_a_page_has_no_meaning_that_an_attacker_gave_it() -> None:
    evil = shown(subject="<img src=x onerror=alert(1)>", sources=["=cmd|x"])
    page = report.page(evil)
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    rows = report.sources_csv(evil).splitlines()
    assert rows[2] == "192.0.2.9,possibly spoofed,50,US,64496,'=1+1"
    assert rows[3].startswith("192.0.2.8,verified,10")
    assert "peak of drops" in page
    assert 'points="0.0,159.1 100.0,159.1' in page, "what passed"
    assert report.page(shown(evidence={**evil["evidence"], "rates": []})).count("<svg") == 0
    assert "udp from 53" in report.to_provider(evil)
    assert "An address is not a culprit." in report.to_ic3(evil)


def captured(slot: int, source: bytes = bytes((203, 0, 113, 7))) -> Capture:
    frame = udp(source, bytes((198, 51, 100, 2)), 53, 4444)
    head = frame.ljust(CAPTURE_BYTES, b"\0")
    return Capture(5 * 10**9, 1, len(frame), Reason.LIMITED, slot, head)


def udp(source: bytes, target: bytes, source_port: int, target_port: int) -> bytes:
    prefix = [Prefix(address, 32) for address in (source, target)]
    return frames.build(*prefix, 17, source_port, target_port)


def test_some_of_what_is_dropped_is_kept(box: Api, tmp_path: Path) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]["id"]
    slot = box.call("GET", f"/v1/rules/{rule}").json()["slot"]
    problem(box.call("GET", f"/v1/incidents/{identity}/packets"), 404, "not-found")
    held = box.controller.state.incidents[identity]
    box.context.files.prepare()
    for _ in range(2):

        def soon() -> None:
            box.datapath.to_capture += [captured(slot)] * 70 + [captured(slot + 1)] * 5

        box.datapath.when_capturing = soon
        assert box.context.witness.look([held]) == 50, "as many as one look keeps"
    told = whole(box, identity)["evidence"]
    assert (told["packets"], told["sources"]) == (100, 1)
    assert told["top_sources"][0]["address"] == "203.0.113.7"
    assert told["top_services"] == [["udp from 53", 100]]
    assert box.datapath.capturing == (0, 0, 0)
    answer = box.call("GET", f"/v1/incidents/{identity}/packets")
    assert answer.headers["content-type"] == "application/x-pcapng"
    assert f"reason=limited rule={rule}".encode() in answer.content
    (tmp_path / "incidents" / "19991231-235959.pcapng").write_bytes(b"x")
    box.context.files.forget({identity})
    assert {p.stem for p in (tmp_path / "incidents").iterdir()} == {identity}


def test_a_sender_that_is_connected_is_told_from_one_that_may_be_forged(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]["id"]
    slot = box.call("GET", f"/v1/rules/{rule}").json()["slot"]
    other = captured(slot, bytes((203, 0, 113, 8)))
    box.datapath.when_capturing = lambda: box.datapath.to_capture.extend([captured(slot), other])
    box.context.witness._connections = Peers(**{"203.0.113.7": 1})  # type: ignore[assignment]
    box.context.files.prepare()
    for _ in range(2):
        box.context.witness.look([box.controller.state.incidents[identity]])
    told = whole(box, identity)["evidence"]["top_sources"]
    assert {one["address"]: one["connected"] for one in told} == {
        "203.0.113.7": True,
        "203.0.113.8": False,
    }
    assert box.context.files.connected(identity).read_text() == "203.0.113.7\n"


def test_how_much_there_was_is_measured_while_it_goes_on(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]["id"]
    for second in range(4):
        hit(box, rule, 500 * second**2)
        passed = Hits(100 * second, 0)
        box.datapath.by_port = {"eth0": {Reason.NO_RULE: passed, Reason.LIMITED: Hits(7, 0)}}
        box.clock.advance(1)
        box.context.witness.step(50.0 + second)
        box.context.witness.step(50.5 + second)
    rates = whole(box, identity)["evidence"]["rates"]
    assert [row[1:] for row in rates] == [
        [500.0, 256_000.0, 100.0, 0.0],
        [1_500.0, 768_000.0, 100.0, 0.0],
        [2_500.0, 1_280_000.0, 100.0, 0.0],
    ]
    say(box, "fastnetmon", fastnetmon("unban"))
    box.context.witness.step(60.0)
    assert len(whole(box, identity)["evidence"]["rates"]) == 3, "it is over"
    with zipfile.ZipFile(
        io.BytesIO(box.call("GET", f"/v1/incidents/{identity}/export").content)
    ) as held:
        assert held.read("rates.csv").startswith(b"time,hit_pps,hit_bps,passed_pps,dropped_pps\n")


def test_many_lines_are_thinned_out_and_the_peak_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    lines = [f"{n}.0,{900 if n == 777 else 1}.0,0.0,0.0,0.0" for n in range(2_000)]
    path.write_text("\n".join(["time", *lines, "2000.0,1.0"]))
    rows = meter.read(path)
    assert len(rows) <= 240
    assert max(rows, key=lambda row: row[1]) == (777.0, 900.0, 0.0, 0.0, 0.0)
    assert meter.read(tmp_path / "none") == []


def test_a_look_steps_back_for_whoever_asks(box: Api) -> None:
    ask = CaptureAsk(choose("drop"), seconds=30)
    look = Capturing(box.datapath, ask, yields=True).batches()
    next(look)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Capturing, box.datapath, ask)
        assert list(look) == [], "it ends once somebody waits"
        mine = asked.result().batches()
    next(mine)
    with pytest.raises(ConflictError):
        Capturing(box.datapath, ask, yields=True)
    mine.close()


def exported(box: Api, tmp_path: Path) -> tuple[str, Path]:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    answer = box.call("GET", f"/v1/incidents/{identity}/export")
    assert answer.headers["content-type"] == "application/zip"
    path = tmp_path / "held.zip"
    path.write_bytes(answer.content)
    return identity, path


def test_an_archive_holds_and_tells_who_made_it(box: Api, tmp_path: Path) -> None:
    identity, path = exported(box, tmp_path)
    found = export.verify(path)
    assert found.incident == identity
    assert found.fingerprint == box.call("GET", "/v1/incidents/key").json()["fingerprint"]
    assert (tmp_path / "incident.key").stat().st_mode & 0o777 == 0o600
    assert set(found.files) == {
        "report.html", "report.md", "incident.json", "sources.csv", "to-provider.txt", "to-ic3.txt",
        "said.ndjson",
    }  # fmt: skip
    with zipfile.ZipFile(path) as held:
        assert json.loads(held.read("incident.json"))["id"] == identity
        assert b"<!doctype html>" in held.read("report.html")


def test_an_archive_that_was_changed_is_found_out(box: Api, tmp_path: Path) -> None:
    _, path = exported(box, tmp_path)
    with zipfile.ZipFile(path) as held:
        parts = {name: held.read(name) for name in held.namelist()}
    other = export.signing_key(tmp_path / "other.key").sign(parts["manifest.json"]).hex()
    for change, said in (
        ({"sources.csv": b"forged"}, "sources.csv"),
        ({"manifest.json": parts["manifest.json"] + b" "}, "not what was signed"),
        ({"manifest.sig": other.encode()}, "not what was signed"),
        ({"manifest.sig": b"zz"}, "not what was signed"),
        ({"manifest.json": b"[]"}, "cannot be read"),
        ({"more.txt": b"x"}, "not in the manifest"),
        ({"report.md": None}, "missing"),
        ({"manifest.sig": None}, "no manifest.sig"),
    ):
        changed = tmp_path / "changed.zip"
        with zipfile.ZipFile(changed, "w") as held:
            for name, data in (parts | change).items():
                if data is not None:
                    held.writestr(name, data)
        with pytest.raises(EvidenceError, match=said):
            export.verify(changed)
    (tmp_path / "no.zip").write_bytes(path.read_bytes()[:200])
    for bad in ("no.zip", "none.zip"):
        with pytest.raises(EvidenceError):
            export.verify(tmp_path / bad)


def test_a_key_that_is_none_is_told(box: Api, tmp_path: Path) -> None:
    (tmp_path / "incident.key").write_text("no key")
    answer = box.call("GET", "/v1/incidents/key")
    assert answer.status_code == 500
    assert "incident.key" in answer.text


def test_the_command_line_exports_and_verifies(
    api: Client, run: Run, box: Api, tmp_path: Path
) -> None:
    identity, path = exported(box, tmp_path)
    api.answers["GET", f"/v1/incidents/{identity}/export"] = path.read_bytes()
    out = tmp_path / "out.zip"
    assert run("incident", "export", identity, "-o", str(out))[0] == 0
    assert out.read_bytes() == path.read_bytes()
    code, said, _ = run("incident", "verify", str(out))
    fingerprint = export.verify(out).fingerprint
    assert (code, identity in said, fingerprint in said) == (0, True, True)
    assert run("incident", "verify", str(out), "--key", fingerprint)[0] == 0
    code, _, err = run("incident", "verify", str(out), "--key", "SHA256:other")
    assert (code, "which is another" in err) == (1, True)
    api.answers["GET", f"/v1/incidents/{identity}/packets"] = b"pcapng"
    assert run("incident", "packets", identity, "-w", str(tmp_path / "p"))[0] == 0
    assert run("incident", "packets", identity, "-w", str(tmp_path / "no" / "p"))[0] == 2


def hit(box: Api, rule: str, packets: int) -> None:
    slot = box.call("GET", f"/v1/rules/{rule}").json()["slot"]
    box.datapath.hit_values[slot] = Hits(packets, 64 * packets).pack()


def test_what_still_hits_stays_until_it_is_quiet(box: Api) -> None:
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    hit(box, rule, 1_000)
    said = say(box, "fastnetmon", fastnetmon("unban"))
    assert (said["held"], said["released"]) == ([rule], [])
    step = box.context.releases.step
    for second in range(8):
        assert step(100.0 + second) == [], "the flood goes on"
        hit(box, rule, 1_000 + 500 * (second + 1))
    assert step(108.0) == []
    assert [step(108.0 + second) for second in (1, 2, 3)] == [[], [], [rule]]
    assert box.call("GET", f"/v1/rules/{rule}").status_code == 404
    assert "rule.released" in box.call("GET", "/v1/audit").text


def test_what_begins_again_is_no_longer_on_its_way_out(box: Api) -> None:
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    hit(box, rule, 1_000)
    say(box, "fastnetmon", fastnetmon("unban"))
    assert say(box, "fastnetmon", fastnetmon("ban"))["rules"] == [rule]
    assert quiet(box) == []
    assert box.call("GET", f"/v1/rules/{rule}").status_code == 200


def test_what_hit_nothing_or_is_only_watched_goes_at_once(box: Api) -> None:
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    assert say(box, "fastnetmon", fastnetmon("unban"))["released"] == [rule]
    box.call("PUT", "/v1/automatic", json={"mode": "shadow"})
    (rule,) = say(box, "fastnetmon", fastnetmon("ban"))["rules"]
    hit(box, rule, 1_000)
    assert say(box, "fastnetmon", fastnetmon("unban"))["released"] == [rule]


def test_what_worked_is_armed_again_at_the_next_wave(box: Api) -> None:
    first = event("1", match=f"udp src-port 123 dst {VICTIM}", pps=700)
    (rule,) = say(box, "event", first)["rules"]
    (useless,) = say(box, "event", event("2", match=f"udp src-port 19 dst {VICTIM}"))["rules"]
    hit(box, rule, 5_000)
    for identity in ("1", "2"):
        say(box, "event", event(identity, "ended"))
    quiet(box)
    box.clock.advance(3600)
    wave = event("3", victim=VICTIM, attack="syn_flood")
    said = say(box, "event", wave)
    assert (rule in said["rules"], useless in said["rules"]) == (True, False)
    held = box.call("GET", f"/v1/rules/{rule}").json()
    assert (held["limit"]["pps"], held["action"]) == (700, "limit")
    assert len(say(box, "event", event("3", "ended"))["released"]) == 2
    box.clock.advance(86_401)
    assert len(say(box, "event", wave)["rules"]) == 1, "a day later it is forgotten"
    elsewhere = event("4", victim="198.51.100.9", attack="syn_flood")
    assert len(say(box, "event", elsewhere)["rules"]) == 1
