# SPDX-License-Identifier: GPL-2.0-or-later
"""The fleet page in every theme and width, with a node that reports odd texts about itself."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import ADDRESS, Desk, eventually, sitting
from tests.browser.test_everybody import LOOKS, cut_off, faults, sticks_out
from tests.conftest import need
from tests.lab.conftest import Street
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host

ENGINE, PEERS = "127.0.0.1:12379", "127.0.0.1:12380"
CARD = {"groups": ["campus"], "since": 1.0}
REPORT = {
    "at": 1.0, "version": "0.3.0", "rules": 4_711, "refusals": 1, "held": "quiet",
    "refused": {"rules/203.0.113.9_32": "<script>alert('the table is full')</script>"},
    "problems": ["<img src=x onerror=alert(1)>\u001b[31m the disk is full"],
}  # fmt: skip


@pytest.fixture
def fleet_desk(street: Street, street_box: Box, tmp_path: Path) -> Iterator[Desk]:
    need(shutil.which("etcd") is not None, "etcd-server")
    server = street.server
    client, peers = f"http://{ENGINE}", f"http://{PEERS}"
    urls = ["--listen-client-urls", client, "--advertise-client-urls", client]
    urls += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    more = ["--initial-cluster", f"default={peers}", "--data-dir", str(tmp_path / "etcd")]
    with (tmp_path / "etcd.log").open("wb") as log:
        engine = server.popen("etcd", *urls, *more, stdout=log, stderr=log)
    try:
        _write(server, "card", CARD)
        _write(server, "alive", "x")
        street_box.settings = (
            f'[fleet]\nname = "edge1"\nendpoints = ["{ENGINE}"]\nport = 0\n'
            f'certificates = "{street_box.directory / "none"}"\n'
        )
        with sitting(street, street_box, tmp_path) as desk:
            yield desk
    finally:
        engine.kill()
        engine.wait()


def _write(server: Host, what: str, value: object) -> None:
    """Write a report of the node edge2; etcd may still be starting."""
    words = ("put", f"xdpctl/nodes/edge2/{what}", json.dumps(value))
    deadline = time.monotonic() + 20
    while True:
        try:
            server.sh("etcdctl", "--endpoints", ENGINE, *words)
            return
        except Exception:
            if time.monotonic() > deadline:
                raise


def test_the_fleet_page_is_readable_and_shows_what_nodes_report_as_text(
    street: Street, fleet_desk: Desk
) -> None:
    found = []
    for look, how in LOOKS.items():
        with fleet_desk.session("admin", **how) as page:
            _write(street.server, "report", REPORT | {"at": time.time()})
            page.goto(f"{ADDRESS}/fleet")

            def told(page: object = page) -> bool:
                page.reload()  # type: ignore[attr-defined]
                return "4,711" in page.inner_text("body")  # type: ignore[attr-defined]

            eventually(page, told, "the report of edge2")
            text = page.inner_text("body")
            assert "<script>alert('the table is full')</script>" in text
            assert "<img src=x onerror=alert(1)>" in text
            assert "\u001b" not in text
            assert "campus" in text
            found += [f"{look}: {fault}" for fault in faults(page)]
            if (by := sticks_out(page)) > 0:
                found.append(f"{look}: sticks out by {by} pixels")
            found += [f"{look}: {each} is cut off" for each in cut_off(page)]
            page.goto(f"{ADDRESS}/?node=all")
            assert page.inner_text("h1")
    assert not found, "\n".join(found)
