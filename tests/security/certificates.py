# SPDX-License-Identifier: GPL-2.0-or-later
"""A certificate for tests."""

import subprocess
from pathlib import Path


def certify(place: Path) -> tuple[Path, Path]:
    """Write a certificate that is valid for a day, and its key."""
    certificate, key = place / "cert.pem", place / "key.pem"
    command = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    more = ("-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=box")
    subprocess.run((*command, *more), check=True, capture_output=True)
    return certificate, key
