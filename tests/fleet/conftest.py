# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of a fleet: an engine, and nodes."""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd

_NUMBERS = count(1)


@pytest.fixture(scope="package")
def shared_etcd() -> Iterator[Etcd]:
    if shutil.which("etcd") is None:
        if os.environ.get("XDPCTL_REQUIRE_KERNEL"):
            pytest.fail("etcd is missing: apt-get install etcd-server")
        pytest.skip("needs etcd: apt-get install etcd-server")
    etcd = Etcd()
    yield etcd
    etcd.remove()


@pytest.fixture
def fleet(shared_etcd: Etcd, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Creates and starts nodes of one fleet, with separate keys in the shared engine."""
    prefix, made = f"test{next(_NUMBERS)}/", list[Node]()

    def node(name: str, **more: Any) -> Node:
        made.append(Node(name, tmp_path / name, [shared_etcd.endpoint], prefix, **more))
        return made[-1].start()

    yield node
    for one in made:
        one.stop()


@pytest.fixture
def own_etcd(shared_etcd: Etcd) -> Iterator[Etcd]:
    """An engine that a test may break."""
    etcd = Etcd("--quota-backend-bytes", str(16 << 20))
    yield etcd
    etcd.remove()


@pytest.fixture
def made(own_etcd: Etcd, tmp_path: Path) -> Iterator[Callable[[str], Node]]:
    nodes: list[Node] = []

    def node(name: str) -> Node:
        nodes.append(Node(name, tmp_path / name, [own_etcd.endpoint], "own/"))
        return nodes[-1].start()

    yield node
    for one in nodes:
        one.stop()
