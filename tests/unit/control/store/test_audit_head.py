# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log's signed head: what it proves, and messages if it is missing or not valid."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import ROOT, FakeClock, FakeDatapath, ask, controller, place
from xdpctl.control.controller import Controller
from xdpctl.control.store.audit_head import AuditHead


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Controller]:
    with controller(tmp_path, FakeDatapath(), FakeClock()) as found:
        for number in range(3):
            place(found, ask(f"192.0.2.{number}"), ROOT)
        yield found


@pytest.fixture
def head(tmp_path: Path, control: Controller) -> AuditHead:
    return AuditHead(control.store, tmp_path / "audit.head", tmp_path / "box.key")


def cut(control: Controller, sequence: int) -> None:
    database = control.store._db  # type: ignore[attr-defined]  # as somebody who can write the file
    database.execute("DELETE FROM audit WHERE sequence > ?", (sequence,))


def test_a_log_that_was_signed_verifies(head: AuditHead) -> None:
    head.step(0.0)
    verdict, signed_to = head.verify(None)
    assert (verdict.problem, verdict.records, signed_to) == (None, 4, 4)


def test_a_log_that_was_cut_at_its_end_does_not(control: Controller, head: AuditHead) -> None:
    head.step(0.0)
    cut(control, 2)
    verdict, _ = head.verify(None)
    assert verdict.problem == "the log ends at record 2, but record 4 was signed"


def test_a_missing_head_is_reported(tmp_path: Path, head: AuditHead) -> None:
    head.step(0.0)
    (tmp_path / "audit.head").unlink()
    verdict, signed_to = head.verify(None)
    assert "no signed head" in (verdict.problem or "")
    assert signed_to is None


@pytest.mark.parametrize("field", ["hash", "sequence", "signature"])
def test_a_changed_head_is_not_trusted(tmp_path: Path, head: AuditHead, field: str) -> None:
    head.step(0.0)
    path = tmp_path / "audit.head"
    found = json.loads(path.read_bytes())
    found[field] = 2 if field == "sequence" else found[field][::-1]
    path.write_text(json.dumps(found))
    verdict, _ = head.verify(None)
    assert (verdict.problem or "").startswith("the head was not signed by this box")


def test_a_head_signed_with_another_key_is_not_trusted(
    tmp_path: Path, control: Controller, head: AuditHead
) -> None:
    head.step(0.0)
    AuditHead(control.store, tmp_path / "audit.head", tmp_path / "other.key").step(0.0)
    verdict, _ = head.verify(None)
    assert (verdict.problem or "").startswith("the head was not signed by this box")


def test_a_head_as_the_checkpoint_is_refused(tmp_path: Path, head: AuditHead) -> None:
    head.step(0.0)
    verdict, _ = head.verify((tmp_path / "audit.head").read_bytes())
    assert verdict.problem


def test_the_head_is_signed_anew_only_when_the_log_has_grown(
    tmp_path: Path, control: Controller, head: AuditHead
) -> None:
    head.step(0.0)
    first = (tmp_path / "audit.head").read_bytes()
    head.step(60.0)
    assert (tmp_path / "audit.head").read_bytes() == first
    place(control, ask("192.0.2.9"), ROOT)
    head.step(120.0)
    assert json.loads((tmp_path / "audit.head").read_bytes())["sequence"] == 5


def test_the_system_log_gets_the_head_once_an_hour(
    control: Controller, head: AuditHead, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "xdpctl.audit"):
        for number, now in enumerate((0.0, 60.0, 3599.0, 3600.0)):
            place(control, ask(f"198.51.100.{number}"), ROOT)
            head.step(now)
    assert [record.getMessage().split(" has ")[0] for record in caplog.records] == [
        "audit log: record 5",
        "audit log: record 8",
    ]


def test_the_last_records_are_signed_at_the_stop(
    tmp_path: Path, control: Controller, head: AuditHead
) -> None:
    head.start()
    place(control, ask("192.0.2.9"), ROOT)
    head.stop()
    assert json.loads((tmp_path / "audit.head").read_bytes())["sequence"] == 5


def test_an_unwritable_folder_is_logged_and_is_not_fatal(
    tmp_path: Path, control: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    head = AuditHead(control.store, tmp_path / "missing" / "audit.head", tmp_path / "box.key")
    head.start()
    head.stop()
    assert "head was not signed" in caplog.text
