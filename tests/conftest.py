# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared by all tests: skip a test that cannot run here, or fail it where CI requires it to run."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.paths import SHARED
from xdpctl.lab.box import Box

# A busy machine is slow, and a test must not fail because of that.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

CORPUS = SHARED / "corpus"
_GZIP = b"\x1f\x8b"


def pytest_make_parametrize_id(val: object) -> str | None:
    """The id of a parameter whose default id would vary: gzip writes the time into its data.

    Tests that run at the same time must have the same names.
    """
    if isinstance(val, bytes) and _GZIP in val:
        return f"gzip, {len(val)} bytes"
    return None


def need(condition: bool, what: str) -> None:
    """Skip the test if `condition` is false; with XDPCTL_REQUIRE_KERNEL=1, fail it."""
    if condition:
        return
    if os.environ.get("XDPCTL_REQUIRE_KERNEL") == "1":
        pytest.fail(f"XDPCTL_REQUIRE_KERNEL=1 is set, but this machine does not have {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All workers, and all their boxes, share what one of them has compiled."""
    Box.compiled = tmp_path_factory.getbasetemp().parent / "compiled"


def compiled_at(*about: object) -> Path:
    """Where the programs for this request are, or will be, whichever worker compiles them."""
    assert Box.compiled
    Box.compiled.mkdir(mode=0o755, parents=True, exist_ok=True)
    return Box.compiled / f"{hashlib.sha256(repr(about).encode()).hexdigest()[:16]}.json"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of public captures and feeds, which are not part of the project."""
    if not CORPUS.is_dir():
        pytest.skip(f"the corpus of captures and feeds is not beside this checkout ({CORPUS})")
    return CORPUS
