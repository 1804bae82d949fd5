# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for packets in progress: by membarrier(2), or by a delay where it is not available."""

import ctypes
import errno
from typing import Any

import pytest

from xdpctl.datapath.bpf import rcu


class Libc:
    """A C library whose membarrier() returns an errno, 0 for success."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.calls: list[tuple[int, ...]] = []

    def syscall(self, *arguments: int) -> int:
        self.calls.append(arguments)
        ctypes.set_errno(self.code)
        return -1 if self.code else 0


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr("xdpctl.datapath.bpf.rcu.time.sleep", found.append)
    return found


@pytest.mark.parametrize(
    ("code", "sleeps"), [(0, 0), (errno.EINVAL, 1), (errno.ENOSYS, 1), (errno.EPERM, 1)]
)
def test_without_membarrier_a_delay_is_used(
    monkeypatch: pytest.MonkeyPatch, slept: list[float], code: int, sleeps: int
) -> None:
    libc: Any = Libc(code)
    monkeypatch.setattr(rcu, "_libc", libc)
    rcu.wait()
    assert len(slept) == sleeps
    assert all(seconds > 0 for seconds in slept)
    assert [call[1:] for call in libc.calls] == [(1, 0, 0)], "MEMBARRIER_CMD_GLOBAL"


def test_any_other_error_is_raised(monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    monkeypatch.setattr(rcu, "_libc", Libc(errno.EFAULT))
    with pytest.raises(OSError, match="membarrier") as caught:
        rcu.wait()
    assert caught.value.errno == errno.EFAULT
    assert not slept


def test_a_real_wait_returns() -> None:
    rcu.wait()
