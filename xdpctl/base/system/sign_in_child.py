# SPDX-License-Identifier: GPL-2.0-or-later
"""Signs in a child process: loading cryptography would take 12 MB of this process for good.

`python -m xdpctl.base.system.sign_in_child KEY` signs its standard input.
"""

import json
import subprocess
import sys
from pathlib import Path

from xdpctl.base.system.children import python
from xdpctl.errors import EvidenceError

_SECONDS = 30.0


def sign_in_child(key: Path, data: bytes) -> dict[str, str]:
    """`signature` and `signer`, as signing_key.signer returns; EvidenceError if it fails."""
    command = python(__name__, str(key))
    try:
        ended = subprocess.run(  # noqa: S603  # no shell; a path of our own settings
            command, input=data, capture_output=True, cwd="/", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EvidenceError(f"signing failed: {error}") from error
    if ended.returncode != 0:
        problem = ended.stderr.decode(errors="replace").strip()[-500:]
        raise EvidenceError(problem or f"signing ended with {ended.returncode}")
    signed: dict[str, str] = json.loads(ended.stdout)
    return signed


def _main() -> None:
    from xdpctl.base.system.signing_key import signer

    try:
        print(json.dumps(signer(Path(sys.argv[1]))(sys.stdin.buffer.read())))
    except EvidenceError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
