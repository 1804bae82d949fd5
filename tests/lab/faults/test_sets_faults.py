# SPDX-License-Identifier: GPL-2.0-or-later
"""Kills, full disks and full tables while a set is replaced: it is then the old or the new set."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.lab.faults.test_faults import fill
from tests.lab.questions import put_set, refusal, set_in_kernel, set_in_store, sets_in_kernel, some
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import sh
from xdpctl.lab.waits import eventually

OLD = some(np.random.default_rng(1), 30_000, 5_000)
NEW = some(np.random.default_rng(2), 90_000, 15_000) + OLD[:10_000]
OTHERS = some(np.random.default_rng(3), 3_000)
DELAYS = (0.05, 0.15, 0.25, 0.4, 0.6)  # seconds after a request was sent


def send(box: Box, request: str, body: str, stay: float) -> None:
    """Send a request without waiting for the answer; kill everything after this delay."""
    head = f"{request} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(box.socket))
        asking.sendall((head + body).encode())
        time.sleep(stay)
        box.kill()


def send_put(box: Box, name: str, entries: list[str], stay: float) -> None:
    send(box, f"PUT /v1/sets/{name}?force=true", "\n".join(entries), stay)


def test_a_kill_during_a_replacement_leaves_the_old_or_the_new_set(box: Box) -> None:
    box.start()
    put_set(box.client, "others", OTHERS, action="accept")
    for delay in DELAYS:
        put_set(box.client, "bots", OLD, force=True)
        send_put(box, "bots", NEW, delay)
        box.start()
        stored = set_in_store(box.client, "bots")
        assert stored in (set(OLD), set(NEW)), f"{len(stored)} after {delay}"
        assert set_in_kernel(box, "bots") == stored, f"after {delay}"
        assert len(sets_in_kernel(box)) == 2
    assert set_in_kernel(box, "others") == set(OTHERS) == set_in_store(box.client, "others")
    assert box.client.call("GET", "/v1/audit/verify")["problem"] is None
    put_set(box.client, "bots", OLD, force=True)
    assert set_in_kernel(box, "bots") == set(OLD)


def whole_or_not_at_all(box: Box, entries: list[str]) -> bool:
    """Start the box again; return whether it has the set, which must agree in store and kernel."""
    box.start()
    held = box.client.call("GET", "/v1/sets")["sets"]
    assert [*sets_in_kernel(box).values()] == [set(entries)] * len(held)
    # the head is signed in the first moments after a start
    assert eventually(lambda: box.client.call("GET", "/v1/audit/verify")["problem"] is None)
    return bool(held)


def test_a_kill_while_a_set_is_added_or_removed_leaves_it_whole_or_not_at_all(box: Box) -> None:
    box.start()
    for delay in DELAYS[1:3]:
        send_put(box, "bots", NEW, delay)
        if not whole_or_not_at_all(box, NEW):
            put_set(box.client, "bots", NEW)
        send(box, "DELETE /v1/sets/bots", "", delay / 4)
        if whole_or_not_at_all(box, NEW):
            box.client.call("DELETE", "/v1/sets/bots")


@pytest.fixture
def small_disk(box: Box) -> Iterator[Path]:
    """A file on the small disk of the box's state; writing it fills the disk."""
    state = box.directory / "state"
    state.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", str(state))
    try:
        yield state / "filler"
    finally:
        box.kill()
        sh("umount", "--lazy", str(state))  # the kernel may still be ending the killed


@pytest.mark.parametrize("left", [0, 150_000])
def test_a_disk_that_fills_up_while_a_set_is_stored_leaves_the_old_one_whole(
    box: Box, small_disk: Path, left: int
) -> None:
    old, new = OLD[:20_000], NEW[:80_000] + OLD[10_000:20_000]  # of half a megabyte
    box.start()
    put_set(box.client, "bots", old)
    fill(small_disk)
    os.truncate(small_disk, small_disk.stat().st_size - left)
    body = "\n".join(new).encode()
    problem = refusal(box.client, "PUT", "/v1/sets/bots", content=body)
    assert problem["status"] == 503
    assert set_in_store(box.client, "bots") == set_in_kernel(box, "bots") == set(old)
    assert refusal(box.client, "PUT", "/v1/sets/more", content=body)["status"] == 503
    assert [held["name"] for held in box.client.call("GET", "/v1/sets")["sets"]] == ["bots"]
    small_disk.unlink()
    put_set(box.client, "bots", new)
    assert set_in_store(box.client, "bots") == set_in_kernel(box, "bots") == set(new)
    box.kill()
    box.start()
    assert set_in_store(box.client, "bots") == set_in_kernel(box, "bots") == set(new)
    assert box.client.call("GET", "/v1/audit/verify")["problem"] is None


def test_a_set_that_does_not_fit_is_refused_with_numbers_and_changes_nothing(box: Box) -> None:
    box.settings = "capacity_ipv4 = 10000\ncapacity_ipv6 = 1000\n"
    box.start()
    client, addresses = box.client, some(np.random.default_rng(4), 12_000, 2_000)
    four = [text for text in addresses if "." in text]
    six = [text for text in addresses if ":" in text]
    put_set(client, "bots", four[:7_000] + six[:700])
    assert client.call("GET", "/v1/status")["warnings"] == []
    for name, entries in (
        ("bots", four[:10_001]),
        ("more", four[7_000:10_001]),
        ("more", six[700:1_001]),
        ("more", four[7_000:7_100] + six[700:1_001]),
    ):
        body = "\n".join(entries).encode()
        problem = refusal(client, "PUT", f"/v1/sets/{name}", content=body)
        assert problem["status"] == 507
        assert "nothing was applied" in problem["detail"]
        family = "6" if entries[-1] in six else "4"
        capacity, used = ("1,000", "70") if family == "6" else ("10,000", "7,0")
        assert f"room for {capacity} IPv{family} entries and has {used}" in problem["detail"]
    whole = set(four[:7_000] + six[:700])
    assert set_in_store(client, "bots") == set_in_kernel(box, "bots") == whole
    assert len(sets_in_kernel(box)) == 1
    put_set(client, "more", four[7_000:9_000])
    (warning,) = client.call("GET", "/v1/status")["warnings"]
    assert warning.startswith("IPv4 entries are 90% full")
    assert "of 10,000" in warning
    assert box.ready()
    put_set(client, "bots", four[3_000:10_000] + six[:700])  # both at once need more for a while
    assert set_in_kernel(box, "bots") == set(four[3_000:10_000] + six[:700])
