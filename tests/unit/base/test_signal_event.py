# SPDX-License-Identifier: GPL-2.0-or-later
"""A signal handler may set the event whatever it interrupts."""

import signal
import subprocess
import sys
import threading
import time

from xdpctl.base.system.signal_event import SignalEvent

# Signals each 50 us, while the main thread waits, sets and clears.
_STORM = """
import signal, time
from xdpctl.base.system.signal_event import SignalEvent
event = SignalEvent.of(signal.SIGALRM, signal.SIGTERM)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.00005)
until = time.monotonic() + 1
while time.monotonic() < until:
    event.wait(0.0001)
    event.set()
    event.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
event.clear()
print("waits", flush=True)
event.wait()
print("ended", flush=True)
"""


def test_a_handler_that_interrupts_a_wait_or_a_set_hangs_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STORM], stdout=subprocess.PIPE, text=True
    ) as process:
        hung = threading.Timer(30, process.kill)
        hung.start()
        assert process.stdout
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "ended\n"
        hung.cancel()
    assert process.returncode == 0


def test_wait_returns_when_set_or_after_the_timeout() -> None:
    event = SignalEvent()
    assert not event.wait(0.001)
    assert not event.is_set()
    threading.Timer(0.01, event.set).start()
    assert event.wait(30)
    assert event.is_set()
    assert event.wait(), "once it is set, nobody waits"
    event.clear()
    assert not event.is_set()
    began = time.monotonic()
    assert not event.wait(0.01)
    assert time.monotonic() >= began + 0.01
