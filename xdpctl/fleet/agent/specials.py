# SPDX-License-Identifier: GPL-2.0-or-later
"""Intents that are no records of a node's store: bypass, policy and modules of the fleet."""

import logging
from collections.abc import Callable, Iterable

import msgspec

from xdpctl.control.controller import Controller
from xdpctl.errors import ConfigError, XdpctlError
from xdpctl.fleet.agent.intake import Incoming
from xdpctl.fleet.intent import Special, kind_named

log = logging.getLogger("xdpctl.fleet")
_switch = msgspec.json.Decoder(bool)
_text = msgspec.json.Decoder(str)


class Specials:
    """Applies special intents on this node.

    `set_policy` takes a policy as TOML, `set_module` a name and a signed text; "" for none.
    """

    def __init__(
        self,
        controller: Controller,
        set_policy: Callable[[str], None],
        set_module: Callable[[str, str], None],
    ) -> None:
        self._controller, self._set_policy = controller, set_policy
        self._set_module = set_module
        self.problems: dict[str, str] = {}

    def take(self, batch: Iterable[Incoming]) -> None:
        """Apply each; what cannot be applied is kept in `problems`."""
        for incoming in batch:
            kind, name = kind_named(incoming.key)
            try:
                if kind == Special.BYPASS:
                    self._bypass(incoming)
                elif kind == Special.POLICY:
                    self._policy(incoming)
                else:
                    self._set_module(name, _text_of(incoming))
                self.problems.pop(incoming.key, None)
            except (msgspec.DecodeError, XdpctlError) as error:
                self.problems[incoming.key] = str(error)
                log.error("the fleet's %s is not applied: %s", incoming.key, error)

    def _bypass(self, incoming: Incoming) -> None:
        intent = incoming.intent
        assert intent is not None  # noqa: S101  # the agent passes no others
        on = not intent.removed and _switch.decode(bytes(intent.data))
        self._controller.set_bypass(on, f"{intent.by} ({intent.node})")

    def _policy(self, incoming: Incoming) -> None:
        intent = incoming.intent
        assert intent is not None  # noqa: S101  # the agent passes no others
        try:
            self._set_policy(_text_of(incoming))
        except ConfigError as error:
            raise ConfigError(f"policy of {intent.by} on {intent.node}: {error}") from error


def _text_of(incoming: Incoming) -> str:
    """The text that was stated; "" if it was removed."""
    intent = incoming.intent
    assert intent is not None  # noqa: S101  # the agent passes no others
    return "" if intent.removed else _text.decode(bytes(intent.data))
