# SPDX-License-Identifier: GPL-2.0-or-later
"""The C file of a module: where it is, and how it is compiled."""

import os
from pathlib import Path

from xdpctl.base.system.owned_folder import Owned
from xdpctl.datapath.loader.compiler import Compiled, compile_source, fingerprint, load_cached
from xdpctl.datapath.loader.filter_program import MODULE_PROGRAMS, module_request
from xdpctl.errors import CompileError, RuleError
from xdpctl.model.match import module as names

SUFFIX = ".c"
BYTES_MOST = 64 << 10  # of a file
PROGRAM, ALONE, WITHOUT = MODULE_PROGRAMS
COUNTS, KEPT = "module_counts", "kept"  # the maps that a module has for itself
_OF_FILTER = ("scratches", "stages", "challenges", "challenge_counts", "ticks", "controls")
_MAY_USE = frozenset((COUNTS, KEPT, *_OF_FILTER, "answered", "memories", "buckets"))


def names_in(folder: Owned) -> dict[str, tuple[int, ...]]:
    """The modules in a folder, with what changes when their files do."""
    found: dict[str, tuple[int, ...]] = {}
    for entry in sorted(path.name for path in folder.path.iterdir()):
        name, dot, rest = entry.partition(".")
        if dot + rest != SUFFIX:
            continue
        try:
            about = os.stat(entry, dir_fd=folder.fd, follow_symlinks=False)
            found[names.check(name, "module")] = (about.st_ino, about.st_mtime_ns, about.st_size)
        except (OSError, RuleError):  # it is gone, or it is none of ours
            continue
    return found


def is_cached(text: str, cache: Path | None) -> bool:
    """Whether a module need not be compiled."""
    request = module_request(text)
    return cache is not None and load_cached(cache, fingerprint(request)) is not None


def compile_module(text: str, cache: Path | None = None) -> Compiled:
    """Compile a module; CompileError, with what clang says of which line, if it does not."""
    if "\0" in text:
        raise CompileError("a module is text, and has no byte 0")
    compiled = compile_source(module_request(text), cache)
    used = {of for program in compiled.programs.values() for _, of in program.references}
    if others := sorted(used - _MAY_USE):
        raise CompileError(
            f"it uses the maps {', '.join(others)}; a module has only memory_of(), see bpf/module.h"
        )
    return compiled
