# SPDX-License-Identifier: GPL-2.0-or-later
"""The evidence that is stored with an incident."""

import io
import zipfile
from collections.abc import Iterable
from dataclasses import replace as structs_replaced
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem
from tests.support.hooked import Connected, event, fastnetmon, hit, say, whole
from xdpctl.abi.constants import Reason
from xdpctl.abi.sizes import CAPTURE_BYTES
from xdpctl.abi.structs import Capture, Hits
from xdpctl.base.net.packets import build
from xdpctl.base.net.pcapng_writer import Writer
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.capture import CaptureAsk, choose
from xdpctl.incidents import report
from xdpctl.incidents.files import add
from xdpctl.incidents.rates import COLUMNS, read_rows
from xdpctl.model.incident import Incident


def captured(
    slot: int,
    source: bytes = bytes((203, 0, 113, 7)),
    target: bytes = bytes((198, 51, 100, 2)),
) -> Capture:
    frame = udp(source, target, 53, 4444)
    head = frame.ljust(CAPTURE_BYTES, b"\0")
    return Capture(5 * 10**9, 1, len(frame), Reason.LIMITED, slot, head)


def udp(source: bytes, target: bytes, source_port: int, target_port: int) -> bytes:
    return build(Prefix(source, 32), Prefix(target, 32), 17, source_port, target_port)


def test_some_of_the_dropped_packets_are_kept(box: Api, tmp_path: Path) -> None:
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
        assert box.context.recorder.look([held]) == 50, "as many as one look keeps"
    told = whole(box, identity)["evidence"]
    assert (told["packets"], told["sources"]) == (100, 1)
    assert told["top_sources"][0]["address"] == "203.0.113.7"
    assert told["top_services"] == [["udp from 53", 100]]
    assert box.datapath.capturing == (0, 0, 0)
    answer = box.call("GET", f"/v1/incidents/{identity}/packets")
    assert answer.headers["content-type"] == "application/x-pcapng"
    assert f"reason=limited rule={rule}".encode() in answer.content
    (tmp_path / "control" / "incidents" / "19991231-235959.pcapng").write_bytes(b"x")
    box.context.files.forget({identity})
    assert {p.stem for p in (tmp_path / "control" / "incidents").iterdir()} == {identity}


def test_if_no_rule_hits_packets_to_the_victim_are_kept_and_labelled_so(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]["id"]
    slot = box.call("GET", f"/v1/rules/{rule}").json()["slot"]
    to_victim, elsewhere = captured(0), captured(0, target=bytes((192, 0, 2, 99)))

    def flood() -> None:
        box.datapath.to_capture += [to_victim] * 30 + [elsewhere] * 30

    box.datapath.when_capturing = flood
    box.context.files.prepare()
    held = box.controller.state.incidents[identity]
    assert box.context.recorder.look([held]) == 30
    told = whole(box, identity)
    assert (told["evidence"]["packets"], told["evidence"]["received"]) == (30, True)
    assert told["evidence"]["top_sources"] == [], "visitors of the victim are not accused"
    assert "legitimate senders are among them" in report.markdown(told)
    packets = box.call("GET", f"/v1/incidents/{identity}/packets").content
    assert b"reason=limited" in packets
    assert b"rule=" not in packets
    box.datapath.when_capturing = lambda: box.datapath.to_capture.extend([captured(slot)] * 9)
    assert box.context.recorder.look([held]) == 9
    told = whole(box, identity)["evidence"]
    assert (told["packets"], told["received"]) == (9, False), "only what the rules hit counts now"


def test_challenged_sources_are_not_accused(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]["id"]
    slot = box.call("GET", f"/v1/rules/{rule}").json()["slot"]
    visitor = captured(slot, bytes((203, 0, 113, 99)))
    challenged = structs_replaced(visitor, reason=Reason.CHALLENGED)
    box.datapath.when_capturing = lambda: box.datapath.to_capture.extend(
        [challenged] * 9 + [captured(slot)] * 3
    )
    box.context.files.prepare()
    assert box.context.recorder.look([box.controller.state.incidents[identity]]) == 12
    told = whole(box, identity)["evidence"]
    assert told["packets"] == 12
    assert [each["address"] for each in told["top_sources"]] == ["203.0.113.7"]


def test_connected_senders_are_distinguished_from_possibly_forged_ones(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]["id"]
    slot = box.call("GET", f"/v1/rules/{rule}").json()["slot"]
    other = captured(slot, bytes((203, 0, 113, 8)))
    box.datapath.when_capturing = lambda: box.datapath.to_capture.extend([captured(slot), other])
    box.context.recorder._connections = Connected(**{"203.0.113.7": 1})  # type: ignore[assignment]
    box.context.files.prepare()
    for _ in range(2):
        box.context.recorder.look([box.controller.state.incidents[identity]])
    told = whole(box, identity)["evidence"]["top_sources"]
    assert {one["address"]: one["connected"] for one in told} == {
        "203.0.113.7": True,
        "203.0.113.8": False,
    }
    assert box.context.files.connected(identity).read_text() == "203.0.113.7\n"


def test_rates_are_measured_while_the_incident_goes_on(box: Api) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    rule = whole(box, identity)["rules"][0]["id"]
    for second in range(4):
        hit(box, rule, 500 * second**2)
        passed = Hits(100 * second, 0)
        box.datapath.by_port = {"eth0": {Reason.NO_RULE: passed, Reason.LIMITED: Hits(7, 0)}}
        box.clock.advance(1)
        box.context.recorder.step(50.0 + second)
        box.context.recorder.step(50.5 + second)
    rates = whole(box, identity)["evidence"]["rates"]
    assert [row[1:] for row in rates] == [
        [500.0, 256_000.0, 100.0, 0.0, None, None],
        [1_500.0, 768_000.0, 100.0, 0.0, None, None],
        [2_500.0, 1_280_000.0, 100.0, 0.0, None, None],
    ]
    say(box, "fastnetmon", fastnetmon("unban"))
    box.context.recorder.step(60.0)
    assert len(whole(box, identity)["evidence"]["rates"]) == 3, "it is over"
    with zipfile.ZipFile(
        io.BytesIO(box.call("GET", f"/v1/incidents/{identity}/export").content)
    ) as held:
        assert held.read("rates.csv").startswith(b"time,hit_pps,hit_bps,passed_pps,dropped_pps,")


def test_rates_are_thinned_out_and_the_peak_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    hits, newcomers = {777: 900}, {778: "2.0,44.0", 5: "40.0,44.0"}
    lines = [f"{n}.0,{hits.get(n, 1)}.0,0.0,0.0,0.0,{newcomers.get(n, ',')}" for n in range(2_000)]
    path.write_text("\n".join(["time", *lines, "2000.0,1.0"]))
    rows = read_rows(path)
    assert len(rows) <= 240
    assert max(rows, key=lambda row: row[1] or 0.0) == (777.0, 900.0, 0.0, 0.0, 0.0, 2.0, 44.0)
    assert [row[5:] for row in rows if row[5] is not None] == [(40.0, 44.0), (2.0, 44.0)]
    assert read_rows(tmp_path / "none") == []


def test_evidence_and_a_capture_are_collected_side_by_side(box: Api) -> None:
    ask = CaptureAsk(choose("drop"), every=1, seconds=30)
    both = [box.context.captures.begin(ask).batches() for _ in range(2)]
    for each in both:
        assert next(each) == []
    box.datapath.to_capture.append(captured(3))
    assert [len(next(each)) for each in both] == [1, 1]
    for each in both:
        each.close()
    assert box.datapath.capturing == (0, 0, 0)


def section() -> bytes:
    """One look's packets."""
    file = io.BytesIO()
    writer = Writer(file)
    for _ in range(5):
        writer.packet("eth0", 10**18, bytes(60), 60, "verdict=drop")
    return file.getvalue()


@pytest.mark.parametrize(
    ("kept", "packets", "damaged"),
    [
        (b"", 0, True),
        (section()[:-37], 4, True),
        (section() + section()[:50], 5, True),
        (section()[:-37] + section(), 5, True),
        (section() * 2, 10, False),
    ],
)
def test_truncated_files_are_read_as_far_as_they_go(
    box: Api, kept: bytes, packets: int, damaged: bool
) -> None:
    (identity,) = say(box, "fastnetmon", fastnetmon("ban"))["incidents"]
    box.context.files.prepare()
    box.context.files.packets(identity).write_bytes(kept)
    line, head = "1700000000.0,1.0,1.0,1.0,1.0,,", ",".join(COLUMNS)
    box.context.files.rates(identity).write_text(
        f"{head}\n{line}\n1700000001.{line}\n17,\n{line}\n"
    )
    found = whole(box, identity)["evidence"]
    assert (found["packets"], bool(found["damage"])) == (packets, damaged)
    assert len(found["rates"]) == 2
    assert box.call("GET", f"/v1/incidents/{identity}/export").status_code == 200


def test_evidence_that_does_not_fit_is_not_written_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    assert add(path, b"abc\n")
    assert not add(path, b"more", most=4)
    monkeypatch.setattr(Path, "open", lambda *_, **__: Full(path, "ab"))
    with pytest.raises(OSError, match="No space left"):
        add(path, b"def\n")
    monkeypatch.undo()
    assert path.read_bytes() == b"abc\n"


class Full(io.FileIO):
    """On a disk that takes two bytes more."""

    def write(self, data: Any) -> int:
        return super().write(bytes(data)[:2])


def test_rules_that_are_not_listed_make_no_peak_when_they_end(box: Api) -> None:
    names = [f"203.0.113.{n}" for n in range(120)]
    (identity,) = say(box, "event", [event(name, sources=[name]) for name in names])["incidents"]
    box.context.files.prepare()
    hit(box, "203.0.113.110_32", 10_000_000)
    for second in range(2):
        box.context.recorder.step(float(second))
    say(box, "event", event("203.0.113.110", "ended", sources=["203.0.113.110"]))
    box.context.recorder.step(2.0)
    rates = whole(box, identity)["evidence"]["rates"]
    assert [row[1] for row in rates] == [0.0, 0.0]


def test_the_samples_and_rates_of_a_long_incident_are_bounded(
    box: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdpctl.incidents.recorder._LOOKS_MAX", 2)
    monkeypatch.setattr("xdpctl.incidents.rates._LINES_MAX", 3)
    say(box, "fastnetmon", fastnetmon("ban"))
    ((identity, _),) = box.controller.state.incidents.items()
    recorder, looks = box.context.recorder, []
    real = recorder.look

    def look(incidents: Iterable[Incident]) -> int:
        looks.append(1)
        return real(incidents)

    monkeypatch.setattr(recorder, "look", look)
    for minute in range(60):
        box.clock.advance(60)
        recorder.step(1e9 + 3600.0 * minute)
    assert len(looks) == 2
    assert len(whole(box, identity)["evidence"]["rates"]) <= 3
