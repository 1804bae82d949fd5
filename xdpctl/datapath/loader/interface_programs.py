# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of each interface: for its side, its frames, and what runs behind them."""

import logging
from contextlib import closing

from xdpctl.datapath.bpf.bpffs import share
from xdpctl.datapath.bpf.maps import Map
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.programs import Kin
from xdpctl.datapath.loader import behind
from xdpctl.datapath.loader.behind import Kept
from xdpctl.datapath.loader.filter_program import OUTSIDE, PROGRAM, STAGES
from xdpctl.datapath.loader.interface import AttachedInterface
from xdpctl.datapath.loader.layered_programs import LayeredPrograms
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.modules import Modules
from xdpctl.datapath.loader.pinned_maps import PinnedMaps
from xdpctl.datapath.loader.stages import Staged
from xdpctl.errors import AttachError, DatapathError

log = logging.getLogger("xdpctl.loader")


class InterfacePrograms:
    """Loads programs for interfaces, which the loader then attaches."""

    def __init__(
        self,
        pins: Pins,
        pinned: PinnedMaps,
        loaded: LayeredPrograms,
        group: int,
        modules: Modules | None,
    ) -> None:
        self._pins, self._maps, self._programs, self._group = pins, pinned, loaded, group
        self._modules = modules
        self.kept = Kept(pins)

    def add(self, name: str, outside: bool, shared: bool) -> AttachedInterface:
        """Create an interface's counters, and load its programs for Ethernet frames."""
        directory = self._pins.port(name)
        directory.mkdir(exist_ok=True)
        share(directory, self._group, 0o750)
        counters = self._maps.adopt_or_create("counters", directory / "counters")
        layer, followed = LinkLayer.ETHERNET, Kin() if shared else None
        staged = self._staged(name, outside, counters, layer, followed)
        return AttachedInterface(name, staged, counters, outside, layer, followed)

    def _staged(
        self, name: str, outside: bool, counters: Map, layer: LinkLayer, followed: Kin | None
    ) -> Staged:
        directory = self._pins.port(name)
        program = OUTSIDE if outside else PROGRAM
        with closing(self._maps.port(directory, outside)) as port:
            own = {"counters": counters.fd, "port": port.fd}
            staged = self._programs.staged(program, STAGES, directory, own, layer, followed)
        if self._modules:
            self._modules.put_into(staged, followed)
        return staged

    def fit(self, port: AttachedInterface, layer: LinkLayer, followed: Kin | None = None) -> None:
        """Load other programs if the frames begin differently, or another kin is to follow."""
        followed = followed or port.followed
        if (port.layer, port.followed) == (layer, followed):
            return
        self._programs.need(layer)
        try:
            staged = self._staged(port.name, port.outside, port.counters, layer, followed)
        except DatapathError as error:
            raise AttachError(str(error)) from error
        port.staged.close()
        port.staged, port.layer, port.followed, port.behind = staged, layer, followed, ""

    def put_behind(self, port: AttachedInterface) -> None:
        """Let the program that is kept for a shared interface run behind its filter.

        If it cannot, the filter is alone, and the interface says so.
        """
        if port.followed is None:
            return
        with self.kept.opened(port.name) as theirs:
            name = "" if theirs is None else behind.named(theirs)
            if name == port.behind and not port.waits and (name or port.followed == Kin()):
                return
            try:
                self.fit(port, port.layer, Kin() if theirs is None else behind.kin_of(theirs))
                behind.put(port.staged.array, theirs)
                port.behind, port.waits = name, ""
            except AttachError as error:
                port.behind, port.waits = (
                    "",
                    f"{name or 'a filter that takes jumbo frames'} waits: {error}",
                )
                behind.put(port.staged.array, None)

    def take_away(self, port: AttachedInterface, why: str) -> None:
        """Let no other tool's program be behind an interface's filter."""
        with self.kept.opened(port.name) as theirs:
            if theirs is not None:
                name = behind.named(theirs)
                log.warning("%s: %s does not run any more: %s", port.name, name, why)
                self.kept.forget(port.name)
        if port.behind:
            behind.put(port.staged.array, None)
        port.behind = port.waits = ""
