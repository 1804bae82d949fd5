# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of one filter, loaded with its maps, for each link layer that an interface has."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from xdpctl.abi.constants import Stage
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.bpf.programs import Kin
from xdpctl.datapath.loader import egress
from xdpctl.datapath.loader.compiler import Compiled, Program
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.stages import Staged, load_staged
from xdpctl.errors import AttachError, CompileError, DatapathError

_AGAIN_SECONDS = 60.0  # after programs could not be compiled
# of a link layer: the filter, and the program that fills its flow memory
CompileFor = Callable[[LinkLayer], tuple[Compiled, Compiled | None]]


class LayeredPrograms:
    """Loads programs with the maps in `shared`: those for Ethernet first, others when needed.

    `teaches`: the filter has a flow memory, which programs at egress fill.
    """

    def __init__(
        self,
        shared: Mapping[str, int],
        compiled: Compiled,
        teach: Compiled | None,
        compile_for: CompileFor | None,
    ) -> None:
        self._shared, self._compile_for = shared, compile_for
        self._filters = {LinkLayer.ETHERNET: compiled}
        self._failed: dict[LinkLayer, tuple[str, float]] = {}  # the error, until when it holds
        self._teachers: dict[LinkLayer, int] = {}
        self.teaches = teach is not None
        self._load_teacher(LinkLayer.ETHERNET, teach)

    def close(self) -> None:
        for fd in self._teachers.values():
            os.close(fd)

    def teacher(self, layer: LinkLayer = LinkLayer.ETHERNET) -> int | None:
        """The descriptor of the program at egress; None if there is no flow memory."""
        return self._teachers.get(layer)

    def need(self, layer: LinkLayer) -> None:
        """Compile the programs for a link layer, unless they are there.

        AttachError if they cannot be compiled or loaded.
        """
        if layer in self._filters:
            return
        error, until = self._failed.get(layer, ("", 0.0))
        if time.monotonic() < until:
            raise AttachError(error)
        assert self._compile_for is not None  # noqa: S101  # tests without it have Ethernet
        try:
            compiled, teach = self._compile_for(layer)
            self._load_teacher(layer, teach)
        except (CompileError, DatapathError) as failure:
            error = f"there is no filter for such frames: {failure}"
            self._failed[layer] = error, time.monotonic() + _AGAIN_SECONDS
            raise AttachError(error) from failure
        self._filters[layer] = compiled

    def _load_teacher(self, layer: LinkLayer, teach: Compiled | None) -> None:
        if teach is not None:
            self._teachers[layer] = self.load(teach.programs[egress.NAME], {})

    def staged(
        self,
        program: str,
        stages: Mapping[Stage, str],
        directory: Path,
        own: Mapping[str, int],
        layer: LinkLayer = LinkLayer.ETHERNET,
        followed: Kin | None = None,
    ) -> Staged:
        """Load a program with its stages; `own` are the maps that only these programs use.

        `followed` is the kin of another tool's program that may come after them.
        """
        compiled = self._filters[layer]

        def load(name: str, stages_fd: int) -> int:
            return self.load(compiled.programs[name], {**own, "stages": stages_fd}, followed)

        return load_staged(load, compiled.maps["stages"], program, stages, directory)

    def load(self, program: Program, own: Mapping[str, int], followed: Kin | None = None) -> int:
        """The descriptor of a program; DatapathError if the kernel refuses it."""
        kin, kind = followed or Kin(), programs.XDP
        if program.name == egress.NAME:
            kin, kind = Kin(flags=0), programs.SCHED_CLS
        linked = program.linked({**self._shared, **own}, followed is not None)
        try:
            return programs.load(program.name, linked, kin, kind)
        except OSError as error:
            raise DatapathError(
                f"the kernel did not load the program {program.name}: {error.strerror}"
            ) from error
