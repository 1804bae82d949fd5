# SPDX-License-Identifier: GPL-2.0-or-later
"""A running box under faults: kills, full disks, corrupt files, and changes by other tools."""

import socket
import time
from pathlib import Path

import pytest

from tests.lab.questions import block, in_kernel, in_store
from xdpctl.abi.constants import SlotNumber
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.client import Client
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.errors import Refused
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import LabError, sh
from xdpctl.lab.waits import eventually

LIST = "".join(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}\n" for n in range(60_000)).encode()


def audited(box: Box, action: str) -> list[dict[str, object]]:
    query = {"limit": 5000, "last": True}
    records = box.client.call("GET", "/v1/audit", params=query)["records"]
    return [record for record in records if record["action"] == action]


def test_a_foreign_change_of_the_maps_is_repaired_and_audited(box: Box) -> None:
    box.start()
    for source in ("203.0.113.7", "203.0.113.0/24", "2001:db8::/48"):
        block(box.client, source)
    before = in_kernel(box)
    meddler = PinnedDatapath(box.pins).source
    meddler.tables[4].drop(FAMILIES[4].keys([parse_prefix("203.0.113.7")]))
    meddler.lead(4, FAMILIES[4].keys([parse_prefix("198.51.100.9")]), 0, SlotNumber.FIRST)
    slots = maps.open_map(box.pins.map("slots"))
    slots.put(before["2001:db8::/48"].to_bytes(4, "little"), bytes(8))
    assert eventually(
        lambda: set(in_kernel(box)) == set(before) and bool(audited(box, "kernel.repair"))
    )
    drop = slots.get(in_kernel(box)["2001:db8::/48"].to_bytes(4, "little"))
    assert drop is not None
    assert drop[0] & 3 == 2


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3, 0.6])
def test_after_a_kill_during_a_bulk_load_maps_and_store_agree_again(box: Box, delay: float) -> None:
    box.start()
    with socket.socket(socket.AF_UNIX) as loading:
        loading.connect(str(box.socket))
        head = "POST /v1/rules/bulk HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n"
        loading.sendall(f"{head}content-length: {len(LIST)}\r\n\r\n".encode() + LIST)
        time.sleep(delay)
        box.kill()
    box.start()
    stored = in_store(box)
    assert set(in_kernel(box)) == stored
    assert box.client.call("GET", "/v1/audit/verify")["problem"] is None


def test_a_full_disk_refuses_new_rules_and_everything_else_goes_on(box: Box) -> None:
    state = box.directory / "state"
    state.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", str(state))
    try:
        box.start()
        block(box.client, "203.0.113.7")
        fill(state / "filler")
        assert refused_with(box.client) == 503
        assert set(in_kernel(box)) == in_store(box)
        assert "203.0.113.7/32" in in_kernel(box)
        assert box.client.call("POST", "/v1/bypass", json={"on": True})["on"] is True
        assert box.client.call("POST", "/v1/bypass", json={"on": False})["on"] is False
        (state / "filler").unlink()
        assert block(box.client, "198.51.100.250")["in_kernel"] is True
    finally:
        box.kill()
        sh("umount", "--lazy", str(state))  # the kernel may still be ending the killed


def test_a_corrupt_store_prevents_the_start_with_a_clear_message_and_filtering_goes_on(
    box: Box,
) -> None:
    box.start()
    block(box.client, "203.0.113.7")
    before = in_kernel(box)
    box.kill()
    database = Settings(state_dir=box.directory / "state").database
    for path in database.parent.glob("rules.sqlite*"):
        path.unlink()
    database.write_bytes(b"this is no database" * 100)
    with pytest.raises(LabError, match="stay in force"):
        box.start()
    assert in_kernel(box) == before
    assert box.host.call(lambda: any(link.program_id for link in netlink.links()))


def fill(path: Path) -> None:
    """Write until the disk is full."""
    try:
        with path.open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
    except OSError:
        return


def refused_with(client: Client) -> int:
    """The HTTP status of the first of many rules that is refused."""
    try:
        for n in range(200):
            block(client, f"198.51.100.{n}", reason="x" * 400)
    except Refused as refused:
        return int(refused.problem["status"])
    return 0


def test_a_body_of_100_megabytes_is_refused_without_being_read(box: Box) -> None:
    box.start()
    for path in ("/v1/rules", "/v1/rules/bulk"):
        with socket.socket(socket.AF_UNIX) as sender:
            sender.connect(str(box.socket))
            sender.sendall(
                f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 104857600\r\n\r\n".encode()
            )
            assert b" 413 " in sender.recv(4096).split(b"\r\n")[0]
    assert box.ready()
