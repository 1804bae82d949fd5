# SPDX-License-Identifier: GPL-2.0-or-later
"""Code in a folder that its user may not enter: the user sees only the code in it."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from xdpctl.base.system import code_view

_LOOK = """
import os, pathlib, sys
closed = pathlib.Path(sys.argv[1])
print(os.geteuid(), sorted(each.name for each in closed.iterdir()))
print((closed / "code" / "word").read_text())
try:
    (closed / "code" / "new").touch()
except OSError as error:
    print(type(error).__name__, error.errno)
try:
    os.setuid(0)
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def closed() -> Iterator[Path]:
    need(os.geteuid() == 0, "root")
    folder = Path("/var/tmp") / f"xdpctl-closed-{os.getpid()}"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "word").write_text("hello")
    (folder / "secret").write_text("no")
    folder.chmod(0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_process_sees_the_code_and_nothing_else_of_a_closed_folder(
    closed: Path, umask: int
) -> None:
    user = pwd.getpwnam("xdpctl")
    script = (
        "import os, sys; from pathlib import Path; from xdpctl.base.system import code_view\n"
        f"code_view.needed = lambda: [Path({str(closed)!r}) / 'code']\n"
        f"code_view.enter({user.pw_uid}, {user.pw_gid})\n"
        f"os.execv('/usr/bin/python3', ['python3', '-I', '-c', {_LOOK!r}, {str(closed)!r}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, umask=umask, cwd="/"
    )
    assert done.stdout.splitlines() == [
        f"{user.pw_uid} ['code']",
        "hello",
        "OSError 30",
        "PermissionError",
    ], done.stderr
    assert sorted(each.name for each in closed.iterdir()) == ["code", "secret"], "here it is whole"


def test_an_accessible_folder_is_not_hidden(closed: Path) -> None:
    user = pwd.getpwnam("xdpctl")
    code = closed / "code"
    assert code_view.hidden([code], user.pw_uid, user.pw_gid) == {closed: [code]}
    closed.chmod(0o755)
    assert code_view.hidden([code], user.pw_uid, user.pw_gid) == {}
