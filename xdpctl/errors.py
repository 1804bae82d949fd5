# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that can go wrong, as one tree.

XdpctlError
├── ConfigError              the configuration file, a flag, or the command line
│   └── SettingsError        the settings themselves: nothing heals until somebody edits them
├── RuleError          400   the rule itself is wrong; carries the field
│   ├── ConflictError  409   contradicts a standing rule
│   ├── LockoutError   409   would cut off a protected prefix or the caller
│   └── QuotaError     403   beyond what this origin may ask for
├── NotFoundError      404   no such rule or token
├── StaleError         412   the rule changed since it was read
├── AccessError        401   no token, a wrong one, or an expired one
│   └── RoleError      403   a good token whose role may not do this
├── FetchError         502   no list to be had from a URL or a file
├── RecordingError           no recording of packets, or a damaged one
├── EvidenceError            an archive of an incident that does not hold, or its key
├── PaceError          429   more than this caller may send in a minute
├── BusyError          503   too much of the kind is under way, or it is about to stop
├── StoreError         503   the rule could not be made durable; the kernel was not touched
├── DatapathError      503   the kernel said no
│   ├── CapacityError  507   a table is full; nothing was applied
│   ├── SchemaError          pinned maps of another shape; nothing was adopted
│   └── AttachError          the interface, or somebody else's program on it
├── CompileError             bcc is missing, or clang refused the source
├── Refused                  the control plane refused what a client asked for
└── Unreachable              the control plane does not answer a client
"""

from typing import Any


class XdpctlError(Exception):
    """Catching this is enough for a caller; str() is a sentence for a person."""


class ConfigError(XdpctlError):
    """A setting that is unknown, malformed or impossible; names the setting."""


class SettingsError(ConfigError):
    """The settings must be edited first: starting again with the same ones fails again."""


class RuleError(XdpctlError):
    """The rule itself is wrong. `field` is its JSON path, `fix` what to write instead."""

    def __init__(self, message: str, field: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.fix = fix


class ConflictError(RuleError):
    """Contradicts a standing rule."""


class LockoutError(RuleError):
    """Would cut off a protected prefix, or whoever asks."""


class QuotaError(RuleError):
    """Beyond what this origin may ask for."""


class NotFoundError(XdpctlError):
    """No rule, token or interface of that name."""


class StaleError(XdpctlError):
    """If-Match named another revision than the one that stands."""


class AccessError(XdpctlError):
    """No token, a wrong one, or an expired one."""


class RoleError(AccessError):
    """A good token whose role may not do this."""


class FetchError(XdpctlError):
    """There is no list to be had from this URL or file now; says why in one line."""


class PaceError(XdpctlError):
    """More bytes or events than a detector may send in a minute; nothing of it was done."""


class BusyError(XdpctlError):
    """Nothing was done: all hands are busy, or the control plane is stopping; ask again."""


class RecordingError(XdpctlError):
    """The file is no recording of packets, or a damaged one."""


class EvidenceError(XdpctlError):
    """An archive of an incident is not what it was made as."""


class StoreError(XdpctlError):
    """The change could not be made durable, so it was not made at all."""


class DatapathError(XdpctlError):
    """The kernel said no; says what was tried and the errno's text."""


class CapacityError(DatapathError):
    """A table is full; nothing of the change was applied."""


class SchemaError(DatapathError):
    """Pinned maps of another shape than this version's; nothing was adopted."""


class AttachError(DatapathError):
    """The interface would not take the program."""


class CompileError(XdpctlError):
    """bcc is missing, or clang refused the source."""


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


class Unreachable(XdpctlError):
    """The control plane does not answer."""
