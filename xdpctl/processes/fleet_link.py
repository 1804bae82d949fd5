# SPDX-License-Identifier: GPL-2.0-or-later
"""What connects a control plane with its fleet; without a fleet, nothing of it is imported."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xdpctl.base.system.extras import need
from xdpctl.base.system.owned_folder import replace_file
from xdpctl.config.file import load, read_policy
from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.errors import ConfigError, NotFoundError, RuleError
from xdpctl.fleet.intent import check_scope
from xdpctl.lists.refresher import Refresher
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.shared import Canary, Scope
from xdpctl.notify.changes import News
from xdpctl.processes.fleet_modules import FleetModules

if TYPE_CHECKING:
    from xdpctl.fleet.agent.agent import Agent
    from xdpctl.fleet.agent.reporter import HowItIs
    from xdpctl.fleet.answer import Where
    from xdpctl.fleet.rollout import Wellbeing

log = logging.getLogger("xdpctl.api")


class FleetPolicy:
    """The `[automatic]` of the fleet, which replaces the one of this node's configuration.

    `use` is called with what applies from now on. `text` is the policy as TOML; "": there is none.
    """

    def __init__(
        self, config: Path | None, path: Path, use: Callable[[AutomaticSettings], None]
    ) -> None:
        self._config, self._path, self._use = config, path, use
        self.text = ""

    def set(self, text: str) -> None:
        """Apply a policy, and store it for the next start; "" for the configuration's own.

        ConfigError if the policy is not valid, or cannot be stored.
        """
        automatic = read_policy(text) if text else load(self._config).automatic
        try:
            replace_file(self._path, text.encode(), 0o640)
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from error
        self.text = text
        self._use(automatic)

    def load(self) -> None:
        """Apply the policy that the fleet had when this process ended."""
        try:
            text = self._path.read_text() if self._path.exists() else ""
            if text:
                self.set(text)
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            log.error("the policy of the fleet in %s is not applied: %s", self._path, error)


def agent_of(
    settings: Settings,
    controller: Controller,
    refresher: Refresher,
    health: "HowItIs",
    how: "Callable[[], Wellbeing]",
    policy: FleetPolicy,
    modules: FleetModules,
    tell: Callable[[News], None],
) -> "Agent | None":
    """The agent of this node's fleet; None without one. SettingsError without the extra `fleet`."""
    if not settings.fleet:
        return None
    need("fleet")
    from xdpctl.fleet.agent.agent import Agent

    for what, goes_on in (("witness", "etcd"), ("relay", "xdpctl-relay.service")):
        if getattr(settings.fleet, what):
            raise ConfigError(
                f"this host is a {what} of a fleet, without a filter: stop xdpctl; its {goes_on} "
                "goes on"
            )
    agent = Agent(
        settings.fleet,
        controller,
        health,
        policy.set,
        modules.set,
        tell,
        how,
        lambda: policy.text,
    )
    refresher.may_fetch = agent.may_fetch
    policy.load()
    return agent


def required(agent: "Agent | None") -> "Agent":
    """The agent; NotFoundError without a fleet."""
    if agent is None:
        raise NotFoundError("this box is in no fleet: xdpctl fleet init, or xdpctl fleet join")
    return agent


_CANARY, _CANARY_LEAST, _CANARY_MOST = "canary:", 60.0, 86_400.0  # seconds


def canary_for(scope: str) -> Canary:
    """The scope of a change that this node tries first; RuleError."""
    text = scope.removeprefix(_CANARY) if scope.startswith(_CANARY) else ""
    seconds = float(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0
    if not _CANARY_LEAST <= seconds <= _CANARY_MOST:
        raise RuleError(
            f"a change cannot be tried for {text[:20]!r} s", "scope", "give 1m to 1d: --for 10m"
        )
    return Canary(seconds)


def scope_for(agent: "Agent | None", scope: str) -> Scope:
    """The scope of a change for `Controller.submit`; RuleError if it is not valid here."""
    if scope == "local":
        return None
    if agent and not agent.member.states:
        raise RuleError(
            "this node only follows its fleet, and states nothing for others",
            "scope",
            "give local (--local), or ask another node (--node NAME)",
        )
    if scope and agent is None:
        raise RuleError("this box is in no fleet", "scope", "leave it out, or give local")
    if scope.startswith(_CANARY):
        return canary_for(scope)
    checked = check_scope(scope)
    if agent and checked and not agent.whereabouts.named(checked):
        raise RuleError(
            f"the fleet has no {checked.replace(':', ' ')}",
            "scope",
            "give one of xdpctl fleet status",
        )
    return checked


def spread_bypass(agent: "Agent | None", on: bool, by: str) -> "Where":
    """Let all nodes switch the bypass; where that is done. RuleError without a fleet."""
    if agent is None:
        raise RuleError("this box is in no fleet", "fleet", "leave it out")
    return agent.state_and_wait("bypass/all", by, b"true" if on else None)
