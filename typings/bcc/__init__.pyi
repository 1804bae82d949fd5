# SPDX-License-Identifier: GPL-2.0-or-later
"""The few names of the distribution's bcc that the compiler uses."""

from typing import Any

lib: Any

class BPF:
    module: Any
    def __init__(self, *, text: str, cflags: list[str]) -> None: ...
    def dump_func(self, func_name: str) -> bytes: ...
