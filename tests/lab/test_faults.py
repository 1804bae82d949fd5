"""The real thing under what goes wrong: kills, full disks, corrupt files, meddling, doubles."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from xdpctl import bpf, links
from xdpctl.cli.client import Client, Refused, Unreachable
from xdpctl.kernel import PinnedDatapath
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab, LabError, sh
from xdpctl.prefix import parse_prefix

LIST = "".join(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}\n" for n in range(60_000)).encode()


@pytest.fixture
def host() -> Iterator[Host]:
    need(os.geteuid() == 0, "root")
    with Lab("faults") as lab:
        host, other = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", other, "far0")
        host.ip("addr add 192.0.2.1/24 dev isp0")
        yield host


@pytest.fixture
def box(host: Host) -> Iterator[Box]:
    box = Box(host, ["isp0"])
    yield box
    box.remove()


def eventually(condition: Callable[[], bool]) -> bool:
    """Poll for at most twenty seconds."""
    for _ in range(400):
        if condition():
            return True
        time.sleep(0.05)
    return False


def block(client: Client, source: str, **more: object) -> dict[str, object]:
    body = {"match": {"source": source}, **more}
    answer: dict[str, object] = client.call("POST", "/v1/rules", json=body)
    return answer


def in_kernel(box: Box) -> dict[str, int]:
    datapath = PinnedDatapath(box.pins)
    return {str(p): slot for batch in datapath.scan() for p, slot in batch if slot != 1}


def in_store(box: Box) -> set[str]:
    return {rule["match"]["source"] for rule in box.client.pages()}


def audited(box: Box, action: str) -> list[dict[str, object]]:
    query = {"limit": 5000, "last": True}
    records = box.client.call("GET", "/v1/audit", params=query)["records"]
    return [record for record in records if record["action"] == action]


def test_the_control_plane_is_unprivileged(box: Box) -> None:
    box.start()
    status = Path(f"/proc/{box.control_plane()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[1] != "0"
    assert int(fields["CapEff"], 16) == 0
    assert "bcc" not in Path(f"/proc/{box.control_plane()}/maps").read_text()


def test_a_second_instance_on_the_same_state_or_pins_is_refused(box: Box, host: Host) -> None:
    box.start()
    common = ("-i", "isp0", "--port", "0", "--pin-dir", str(box.pins.directory))
    state, other = box.directory / "state", box.directory / "other"
    for words in ((str(state), "a"), (str(other), "b")):
        sockets = ("--socket", str(box.directory / words[1]))
        second = host.popen(
            *(sys.executable, "-m", "xdpctl", "run", *common, "--state-dir", words[0], *sockets),
            stderr=subprocess.PIPE,
        )
        _, said = second.communicate(timeout=60)
        assert second.returncode == 2, said.decode()
        assert "One at a time" in said.decode()
    assert box.ready()


def test_what_somebody_changes_in_the_maps_is_repaired_and_audited(box: Box) -> None:
    box.start()
    for source in ("203.0.113.7", "203.0.113.0/24", "2001:db8::/48"):
        block(box.client, source)
    before = in_kernel(box)
    meddler = bpf.open_map(box.pins.map("exact4"))
    assert meddler.delete(parse_prefix("203.0.113.7").address)
    meddler.put(parse_prefix("198.51.100.9").address, (2).to_bytes(4, "little"))
    slots = bpf.open_map(box.pins.map("slots"))
    slots.put(before["2001:db8::/48"].to_bytes(4, "little"), bytes(8))
    assert eventually(
        lambda: set(in_kernel(box)) == set(before) and bool(audited(box, "kernel.repair"))
    )
    drop = slots.get(in_kernel(box)["2001:db8::/48"].to_bytes(4, "little"))
    assert drop is not None
    assert drop[0] & 3 == 2


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3, 0.6])
def test_killed_in_the_middle_of_a_bulk_load_maps_and_store_agree_again(
    box: Box, delay: float
) -> None:
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
    sh("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(state))
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


def test_a_corrupt_store_stops_the_start_with_a_clear_word_and_filtering_goes_on(box: Box) -> None:
    box.start()
    block(box.client, "203.0.113.7")
    before = in_kernel(box)
    box.kill()
    database = box.directory / "state" / "rules.sqlite"
    for path in database.parent.glob("rules.sqlite*"):
        path.unlink()
    database.write_bytes(b"this is no database" * 100)
    with pytest.raises(LabError, match="goes on filtering"):
        box.start()
    assert in_kernel(box) == before
    assert box.host.call(lambda: any(link.program_id for link in links.links()))


def fill(path: Path) -> None:
    """Write until the disk is full."""
    try:
        with path.open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
    except OSError:
        return


def refused_with(client: Client) -> int:
    """The status of the first of many rules that is not taken."""
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


def test_pins_of_another_capacity_are_refused_with_what_to_do(box: Box, host: Host) -> None:
    box.start()
    box.stop()
    settings = box.directory / "xdpctl.toml"
    settings.write_text("capacity = 1000\n")
    words = ("-i", "isp0", "--config", str(settings), "--pin-dir", str(box.pins.directory))
    state = ("--state-dir", str(box.directory / "state"), "--socket", str(box.socket))
    again = host.popen(
        *(sys.executable, "-m", "xdpctl", "run", *words, *state), stderr=subprocess.PIPE
    )
    _, said = again.communicate(timeout=60)
    assert again.returncode == 1
    assert "xdpctl down" in said.decode()


def test_the_control_plane_is_started_again_when_it_dies(box: Box) -> None:
    box.start()
    block(box.client, "203.0.113.7")
    died = box.control_plane()
    os.kill(died, 9)
    assert eventually(lambda: box.control_plane() != died and box.ready())
    assert in_store(box) == {"203.0.113.7/32"}


def test_wrong_usage_has_its_exit_codes(box: Box, host: Host) -> None:
    def code(*words: str) -> int:
        command = (sys.executable, "-m", "xdpctl", *words)
        return host.popen(*command, stdout=-3, stderr=-3).wait(60)

    assert code("run") == 2
    assert code("frobnicate") == 2
    assert code("--socket", str(box.socket), "status") == 3
    box.start()
    assert code("--socket", str(box.socket), "block", "10.0.0.1/8") == 1
    assert code("--socket", str(box.socket), "unblock", "10.0.0.1") == 1
    assert code("doctor", "-i", "isp0", "--pin-dir", str(box.pins.directory)) == 0


def test_rules_survive_a_reboot_with_their_remaining_time(box: Box) -> None:
    box.start()
    block(box.client, "203.0.113.7", ttl=3600)
    block(box.client, "203.0.113.8")
    box.stop()
    sh(
        "nsenter",
        f"--net={box.host.path}",
        sys.executable,
        "-m",
        "xdpctl",
        "down",
        "--pin-dir",
        str(box.pins.directory),
    )
    assert not box.pins.root.exists()
    box.start()
    rules = {rule["match"]["source"]: rule for rule in box.client.pages()}
    assert set(in_kernel(box)) == set(rules) == {"203.0.113.7/32", "203.0.113.8/32"}
    assert 3000 < rules["203.0.113.7/32"]["expires_in"] <= 3600
    assert json.dumps(rules)


def test_down_is_refused_while_it_runs(box: Box, host: Host) -> None:
    box.start()
    command = (sys.executable, "-m", "xdpctl", "down", "--pin-dir", str(box.pins.directory))
    down = host.popen(*command, stderr=subprocess.PIPE)
    _, said = down.communicate(timeout=60)
    assert down.returncode == 2
    assert "stop that one" in said.decode()
    assert box.ready()


def test_nothing_answers_after_stop(box: Box) -> None:
    box.start()
    box.stop()
    with pytest.raises(Unreachable):
        box.client.call("GET", "/healthz")
