# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared by all tests: skip a test that cannot run here, or fail it where CI requires it to run."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.paths import SHARED

# A machine that is busy is slow, and that is nothing a test may fail by.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

CORPUS = SHARED / "corpus"


def need(condition: bool, what: str) -> None:
    """Skip for want of `what`; with XDPCTL_REQUIRE_KERNEL=1 that is a failure instead."""
    if condition:
        return
    if os.environ.get("XDPCTL_REQUIRE_KERNEL") == "1":
        pytest.fail(f"this machine must have it, and does not: {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Captures and feeds made by others; not part of the project."""
    if not CORPUS.is_dir():
        pytest.skip(f"the corpus of captures and feeds is not beside this checkout ({CORPUS})")
    return CORPUS
