# SPDX-License-Identifier: GPL-2.0-or-later
"""xdpctl and xdp-tools' programs on one interface, in both orders, beside clients that fetch."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import need
from tests.lab.serving import fetched, running, serving
from tests.lab.test_challenges_live import BOX, CLIENT, doctor
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

OTHER = "192.0.2.3"
SHARED = 'interfaces = [{name = "isp0", shared = true}]\n'
# it drops what comes from OTHER
FIRST = f"xdp-filter load isp0 && xdp-filter ip -m src {OTHER}"
# it drops everything
LATER = """bpftool prog load /usr/lib/*/bpf/xdpfilt_dny_all.o /sys/fs/bpf/later &&
bpftool net attach xdp pinned /sys/fs/bpf/later dev isp0 overwrite"""


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    need(shutil.which("xdp-filter") is not None, "xdp-filter (apt-get install xdp-tools)")
    need(shutil.which("bpftool") is not None, "bpftool (apt-get install bpftool)")
    with Lab("shared") as lab:
        host, far = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        host.ip(f"addr add {BOX}/24 dev isp0")
        for address in (CLIENT, OTHER):
            far.ip(f"addr add {address}/24 dev far0")
        with serving(host):
            yield host, far


def tool(host: Host, script: str) -> subprocess.CompletedProcess[str]:
    """Run another tool with a bpffs of its own, and without libxdp's dispatcher."""
    mounted = f"mount -t bpf bpf /sys/fs/bpf && export LIBXDP_SKIP_DISPATCHER=1 && {script}"
    command = ("nsenter", f"--net={host.path}", "unshare", "--mount", "sh", "-c", mounted)
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def shared(host: Host) -> Iterator[Box]:
    box = Box(host, [])
    box.settings = SHARED
    with running(box):
        yield box


def gets(far: Host, source: str) -> bool:
    return fetched(far, BOX, 1.5, "--interface", source)


def detail(box: Box) -> str:
    return str(box.client.call("GET", "/v1/status")["interfaces"]["isp0"]["detail"])


def test_a_filter_that_was_there_gets_what_the_rules_let_through(
    hosts: tuple[Host, Host],
) -> None:
    host, far = hosts
    done = tool(host, FIRST)
    assert done.returncode == 0, done.stderr
    assert eventually(lambda: gets(far, CLIENT))
    assert not gets(far, OTHER)
    with shared(host) as box:
        assert "runs behind it" in detail(box)
        assert gets(far, CLIENT)
        assert not gets(far, OTHER), "it still drops"
        rule = {"match": f"src {CLIENT}", "action": "drop", "force": True}
        rule_id = box.client.call("POST", "/v1/rules", json=rule)["id"]
        assert not gets(far, CLIENT), "the rule does, too"
        box.client.call("DELETE", f"/v1/rules/{rule_id}")
        box.kill()
        box.start()
        assert "runs behind it" in detail(box)
        assert not gets(far, OTHER)
    assert gets(far, CLIENT), "xdpctl is gone"
    assert not gets(far, OTHER), "the other filter is not"


def test_a_filter_that_comes_later_is_refused_by_libxdp_or_runs_behind_the_rules(
    hosts: tuple[Host, Host],
) -> None:
    host, far = hosts
    with shared(host) as box:
        assert eventually(lambda: gets(far, CLIENT))
        refused = tool(host, "xdp-filter load isp0")
        assert refused.returncode != 0
        assert detail(box) == ""
        later = tool(host, LATER)
        assert later.returncode == 0, later.stderr
        assert eventually(lambda: "runs behind it" in detail(box))
        assert not gets(far, CLIENT), "it drops everything"
        assert "of another tool runs behind it" in doctor(
            host, "isp0", "--pin-dir", str(box.pins.directory)
        )
        host.ip("link set dev isp0 xdp off")
        assert eventually(lambda: detail(box) == "")
        assert gets(far, CLIENT)
        assert box.client.call("GET", "/v1/status")["interfaces"]["isp0"]["taken_off"] == 2
