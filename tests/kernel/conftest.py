"""The real maps and programs, under a pin directory of the test's own."""

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import need
from xdpctl.compiler import Compiled
from xdpctl.kernel import PinnedDatapath
from xdpctl.loader import Loader, compile_filter, take_down
from xdpctl.pins import Pins

CAPACITY = 2000


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    need(os.geteuid() == 0, "root")
    need(find_spec("bcc") is not None, "bcc (apt-get install python3-bpfcc)")


@pytest.fixture(scope="session")
def compiled() -> Compiled:
    return compile_filter(CAPACITY)


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Pins]:
    pins = Pins(tmp_path / "bpf")
    yield pins
    take_down(pins)
    subprocess.run(["umount", str(pins.directory)], check=True)


@pytest.fixture
def loader(pins: Pins, compiled: Compiled) -> Loader:
    return Loader(pins, compiled)


@pytest.fixture
def datapath(loader: Loader) -> PinnedDatapath:
    return PinnedDatapath(loader.pins)
