# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a program while signals arrive: if the verifier returns EAGAIN, loading is retried."""

import errno

import pytest

from xdpctl.datapath.bpf import programs


def refused(number: int) -> OSError:
    return OSError(number, "no")


@pytest.mark.parametrize("signals", [0, 1, 9])
def test_a_signal_during_a_load_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, signals: int
) -> None:
    answers = [refused(errno.EAGAIN)] * signals

    def bpf(*_: object) -> tuple[int, bytes]:
        if answers:
            raise answers.pop()
        return 7, b""

    monkeypatch.setattr(programs, "bpf", bpf)
    assert programs.load("x", bytes(8)) == 7


def test_endless_signals_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def bpf(*_: object) -> tuple[int, bytes]:
        raise refused(errno.EAGAIN)

    monkeypatch.setattr(programs, "bpf", bpf)
    with pytest.raises(OSError, match="no") as caught:
        programs.load("x", bytes(8))
    assert caught.value.errno == errno.EAGAIN


def test_a_long_verifier_log_does_not_hide_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [refused(errno.ENOSPC), refused(errno.ENOSPC), refused(errno.EACCES)]

    def bpf(*_: object) -> tuple[int, bytes]:
        raise answers.pop()

    monkeypatch.setattr(programs, "bpf", bpf)
    with pytest.raises(OSError, match="no") as caught:
        programs.load("x", bytes(8))
    assert caught.value.errno == errno.EACCES
