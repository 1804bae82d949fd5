# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting Python as root: only this package decides what the child imports.

The working directory, PYTHON* variables and a user's site-packages have no effect (-I). Modules
are imported from the same folders as in this process.
"""

import sys
from collections.abc import Sequence
from typing import Any

from xdpctl.base.system import code_view

_CODE = (
    "import runpy, sys; sys.path[:0] = {places!r}; "
    "runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
)


def python(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module as a child; start it with `cwd="/"`."""
    places = list(dict.fromkeys(str(package.parent) for package in code_view.packages()))
    return [sys.executable, "-I", "-c", _CODE.format(places=places, module=module), *arguments]


def as_user(command: Sequence[str], user: int, group: int) -> dict[str, Any]:
    """The arguments of `subprocess.Popen` that run a command of ours as an unprivileged user.

    Where the user may not enter the folder of the code, the child sees it all the same.
    """
    if not code_view.hidden(code_view.needed(), user, group):
        about = {"user": user, "group": group, "extra_groups": []}
        return {"args": list(command), "cwd": "/", **about}
    view = python(code_view.__name__, str(user), str(group), *command)
    return {"args": view, "cwd": "/"}
