# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting Python as root: only this package decides what the child imports.

The working directory, PYTHON* variables and a user's site-packages have no effect (-I). Modules
are imported from the same folders as in this process.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("xdpctl", "xdpctl_api")
_CODE = (
    "import runpy, sys; sys.path[:0] = {places!r}; "
    "runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
)


def python(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module as a child; start it with `cwd="/"`."""
    specs = (find_spec(name) for name in _PACKAGES)
    origins = (Path(spec.origin) for spec in specs if spec and spec.origin)
    places = list(dict.fromkeys(str(origin.resolve().parents[1]) for origin in origins))
    return [sys.executable, "-I", "-c", _CODE.format(places=places, module=module), *arguments]
