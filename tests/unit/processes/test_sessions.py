# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions of browsers: sealed, ended, and kept across restarts, also where the disk is full."""

import os
from pathlib import Path

import pytest

from xdpctl.errors import AccessError
from xdpctl.processes import sessions
from xdpctl.processes.sessions import LINK_SECONDS, SECONDS, Session, Sessions

ANNA = Session(digest="d1")
NOW = 1.7e9


def test_a_session_outlives_the_process(tmp_path: Path) -> None:
    key = tmp_path / "session.key"
    sealed = Sessions(key).begin(ANNA, NOW)
    assert Sessions(key).open(sealed, NOW + SECONDS - 1) == ANNA
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_session_expires_and_can_be_ended(tmp_path: Path) -> None:
    held = Sessions(tmp_path / "session.key")
    one, other = held.begin(ANNA, NOW), held.begin(ANNA, NOW)
    with pytest.raises(AccessError, match="has ended"):
        held.open(one, NOW + SECONDS)
    held.end(one)
    held.end("nonsense")
    with pytest.raises(AccessError, match="has ended"):
        held.open(one, NOW)
    assert held.open(other, NOW) == ANNA


@pytest.mark.parametrize("damaged", [b"", b"short", b"x" * 100])
def test_a_damaged_key_only_requires_a_new_login(tmp_path: Path, damaged: bytes) -> None:
    key = tmp_path / "session.key"
    sealed = Sessions(key).begin(ANNA, NOW)
    key.write_bytes(damaged)
    held = Sessions(key)
    with pytest.raises(AccessError, match="not valid"):
        held.open(sealed, NOW)
    assert Sessions(key).open(held.begin(ANNA, NOW), NOW) == ANNA


def test_without_a_writable_folder_sessions_last_until_the_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(sessions, "replace_file", full)
    held = Sessions(tmp_path / "session.key")
    assert held.open(held.begin(ANNA, NOW), NOW) == ANNA
    assert "cannot be kept" in caplog.text


@pytest.mark.parametrize("text", ["", "x", "a.b", "\x00", "é", "W10.x", "x" * 10_000])
def test_a_text_sealed_elsewhere_is_refused(tmp_path: Path, text: str) -> None:
    held = Sessions(tmp_path / "session.key")
    with pytest.raises(AccessError):
        held.open(text, NOW)
    strange = Sessions(tmp_path / "other.key").begin(ANNA, NOW)
    with pytest.raises(AccessError):
        held.open(strange, NOW)


def test_a_login_link_works_once_and_only_for_a_short_time(tmp_path: Path) -> None:
    now = [0.0]
    held = Sessions(tmp_path / "session.key", lambda: now[0])
    code = held.link(Session(user="root"))
    assert held.follow(code) == Session(user="root")
    with pytest.raises(AccessError, match="used up"):
        held.follow(code)
    late = held.link(ANNA)
    now[0] = LINK_SECONDS
    with pytest.raises(AccessError, match="too old"):
        held.follow(late)
