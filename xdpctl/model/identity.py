# SPDX-License-Identifier: GPL-2.0-or-later
"""Roles, callers, and tokens (only hashes are kept). Pure, except for random numbers."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import AccessError, RoleError
from xdpctl.model.rule import OPERATOR

_MARK = "xdpctl_"


class Role(StrEnum):
    """What a caller may do.

    viewer reads; helpdesk looks up single addresses and releases them for a while, and nothing
    else; operator changes rules; detector uses its own hook only; admin does all.
    """

    VIEWER = "viewer"
    HELPDESK = "helpdesk"
    OPERATOR = "operator"
    DETECTOR = "detector"
    ADMIN = "admin"


_MAY = {
    Role.VIEWER: {Role.VIEWER},
    Role.HELPDESK: {Role.HELPDESK},
    Role.OPERATOR: {Role.VIEWER, Role.HELPDESK, Role.OPERATOR},
    Role.DETECTOR: {Role.DETECTOR},
    Role.ADMIN: {Role.VIEWER, Role.HELPDESK, Role.OPERATOR, Role.ADMIN},
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request: its name in the audit log, its role, and its rules' origin."""

    name: str
    role: Role
    origin: str
    address: Prefix | None = None

    def may(self, *roles: Role) -> bool:
        """Whether this caller's role includes one of `roles`."""
        return not _MAY[self.role].isdisjoint(roles)

    def require(self, *roles: Role) -> None:
        """RoleError unless this caller's role includes one of `roles`."""
        if not self.may(*roles):
            raise RoleError(
                f"{self.name} has the role {self.role}; this needs the role "
                f"{' or '.join(roles)}. "
                f"An admin can create such a token: xdpctl token create NAME --role {roles[0]}"
            )

    def require_unbound(self) -> None:
        """RoleError if the caller's token is bound to one origin and its quota."""
        if self.origin != OPERATOR:
            raise RoleError(
                f"{self.name} acts for {self.origin} only, and this needs a token that is not "
                f"bound to an origin. An admin can create one without --origin"
            )


@dataclass(frozen=True, slots=True)
class Token:
    """A named token; only the digest of its secret is kept."""

    name: str
    digest: str
    role: Role
    origin: str
    created_at: float
    expires_at: float | None = None

    def pack(self) -> bytes:
        """The token as JSON, for the store."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, value: bytes) -> "Token":
        """The token from the JSON that `pack` made; ValueError if it is not valid."""
        try:
            fields = json.loads(value)
            return cls(**{**fields, "role": Role(fields["role"])})
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a token: {error!r}") from error


def digest(secret: str) -> str:
    """The SHA-256 of a secret, in hex; a secret of 256 random bits needs no key stretching."""
    return hashlib.sha256(secret.encode()).hexdigest()


def mint() -> str:
    """A new secret of 256 random bits."""
    return _MARK + secrets.token_urlsafe(32)


def authenticate(secret: str, tokens: Mapping[str, Token], unix: float) -> Token:
    """The token of a secret, found by its hash; AccessError if it is unknown or expired."""
    return valid(tokens.get(digest(secret)), unix)


def valid(token: Token | None, unix: float) -> Token:
    """The token; AccessError if it is unknown, or has expired at this Unix time."""
    if token is None:
        raise AccessError("unknown token; an admin can create one: xdpctl token create")
    if token.expires_at is not None and token.expires_at <= unix:
        raise AccessError(f"the token {token.name} has expired; ask an admin for a new one")
    return token
