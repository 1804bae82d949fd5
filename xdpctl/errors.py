# SPDX-License-Identifier: GPL-2.0-or-later
"""The exception hierarchy, with the HTTP status of each class.

XdpctlError
├── ConfigError              the configuration file, a flag, or the command line
│   ├── SettingsError        the settings are wrong: a restart fails until they are edited
│   └── SignatureError       a module's file is not signed by one who may
├── RuleError          400   the rule is invalid; carries the field
│   ├── ConflictError  409   contradicts an existing rule
│   ├── LockoutError   409   would cut off a protected prefix or the caller
│   │   └── UnconfirmedError 409   may cut off many, and nobody said that it is meant
│   └── QuotaError     403   exceeds the quota of this origin
├── NotFoundError      404   no such rule or token
├── StaleError         412   the rule changed since it was read
├── AccessError        401   no token, a wrong one, or an expired one
│   └── RoleError      403   a good token whose role may not do this
├── FetchError         502   a list cannot be read from its URL or file
├── RecordingError           not a packet recording, or a damaged one
├── SeriesError              figures over time cannot be recorded
├── EvidenceError            an incident archive, or its key, that does not verify
├── PaceError          429   the caller exceeds its limit per minute
├── BusyError          503   too many such requests are running, or the control plane is stopping
├── StoreError         503   the rule could not be made durable; the kernel was not changed
├── DatapathError      503   the kernel refused an operation
│   ├── CapacityError  507   a table is full; nothing was applied
│   ├── SchemaError          pinned maps have an incompatible layout; nothing was adopted
│   └── AttachError          the interface does not take the program, or has a foreign one
├── EngineError        503   the fleet's engine does not answer, or refuses
│   ├── EngineFullError      the engine has no room
│   ├── EngineRefusedError   the engine does not let this node do that
│   └── CompactedError       the engine has forgotten the changes that were asked for
├── SocketsError             the kernel does not list or close this host's TCP sockets
├── CompileError             bcc is missing, or clang rejected the source
├── ToolError                a program of the host is missing, or does not end
├── Refused                  the control plane refused a client's request
├── Interrupted              a person interrupted a command
└── Unreachable              the control plane does not answer a client
"""

from typing import Any


class XdpctlError(Exception):
    """The base class of all errors of xdpctl; str() is a message for the user."""


class ConfigError(XdpctlError):
    """A setting that is unknown, malformed or impossible; names the setting."""


class SettingsError(ConfigError):
    """The settings are wrong: a restart fails again until they are edited."""


class SignatureError(ConfigError):
    """A module's file has no signature of one who may sign it."""


class RuleError(XdpctlError):
    """The rule is invalid. `field` is the JSON path, `fix` says what to write instead."""

    def __init__(self, message: str, field: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.fix = fix


class ConflictError(RuleError):
    """The request contradicts an existing rule or set, or something that is in progress."""


class LockoutError(RuleError):
    """The change would cut off a protected prefix, the caller, or a logged-in user."""


class UnconfirmedError(LockoutError):
    """The change may cut off many; it is made only if the request confirms that it is meant."""


class QuotaError(RuleError):
    """The request exceeds the quota of its origin."""


class NotFoundError(XdpctlError):
    """There is no rule, token or interface of that name."""


class StaleError(XdpctlError):
    """The If-Match header does not name the current revision."""


class AccessError(XdpctlError):
    """The token is missing, unknown or expired."""


class RoleError(AccessError):
    """The token is valid, but its role or origin does not permit the request."""


class FetchError(XdpctlError):
    """A list cannot be read from its URL or file; the message gives the cause in one line."""


class PaceError(XdpctlError):
    """A detector sent more bytes or events than it may in a minute; nothing was applied."""


class BusyError(XdpctlError):
    """All workers are busy, or the control plane is stopping. Nothing was done; retry later."""


class RecordingError(XdpctlError):
    """The file is not a packet recording, or it is damaged."""


class EvidenceError(XdpctlError):
    """An incident archive does not verify: it was changed, or it is damaged."""


class SeriesError(XdpctlError):
    """Figures over time cannot be recorded."""


class StoreError(XdpctlError):
    """The change could not be made durable, so it was not made."""


class DatapathError(XdpctlError):
    """The kernel refused an operation; the message names it and gives the text of errno."""


class CapacityError(DatapathError):
    """A table is full; nothing of the change was applied."""


class SchemaError(DatapathError):
    """The pinned maps have another layout than this version's; nothing was adopted."""


class AttachError(DatapathError):
    """The program could not be attached to the interface."""


class EngineError(XdpctlError):
    """The engine of the fleet does not answer, or refuses. This node goes on with what it has."""


class EngineFullError(EngineError):
    """The engine has no room for more; nothing was written."""


class EngineRefusedError(EngineError):
    """The engine does not let this node read or write a key."""


class CompactedError(EngineError):
    """The engine does not keep the changes after the revision that was asked for.

    `revision` is the one up to which they are lost; 0: it is not known.
    """

    def __init__(self, message: str, revision: int = 0) -> None:
        super().__init__(message)
        self.revision = revision


class SocketsError(XdpctlError):
    """The kernel does not list or close TCP sockets, or its answer is damaged."""


class CompileError(XdpctlError):
    """bcc is missing, or clang rejected the source."""


class ToolError(XdpctlError):
    """A program of the host that is needed is missing, or does not end."""


class Refused(XdpctlError):
    """The control plane refused a request; carries its problem document (RFC 9457)."""

    def __init__(self, problem: dict[str, Any]) -> None:
        text = problem.get("detail") or problem.get("title") or "refused"
        if problem.get("stands"):
            text += f"\n  {problem['stands']}"
        if problem.get("fix"):
            text += f"\n  fix: {problem['fix']}"
        super().__init__(text)
        self.problem = problem


class Interrupted(XdpctlError):
    """A person interrupted a command; the text says what was done."""


class Unreachable(XdpctlError):
    """The control plane does not answer."""
