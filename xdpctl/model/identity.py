# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may do what: roles, and tokens that are kept only as hashes. Pure but for the dice."""

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import AccessError, RoleError
from xdpctl.model.rule import OPERATOR

_MARK = "xdpctl_"


class Role(StrEnum):
    """viewer reads; operator changes rules; detector only its own hook; admin everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    DETECTOR = "detector"
    ADMIN = "admin"


_MAY = {
    Role.VIEWER: {Role.VIEWER},
    Role.OPERATOR: {Role.VIEWER, Role.OPERATOR},
    Role.DETECTOR: {Role.DETECTOR},
    Role.ADMIN: {Role.VIEWER, Role.OPERATOR, Role.ADMIN},
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks: for the audit, for roles, and the origin its rules carry."""

    name: str
    role: Role
    origin: str
    address: Prefix | None = None

    def require(self, role: Role) -> None:
        """RoleError unless this caller may do what `role` may."""
        if role not in _MAY[self.role]:
            raise RoleError(
                f"{self.name} has the role {self.role}; this needs {role}. "
                f"An admin makes such a token with: xdpctl token create NAME --role {role}"
            )

    def require_unbound(self) -> None:
        """RoleError for a caller whose token acts for one origin under that origin's quota."""
        if self.origin != OPERATOR:
            raise RoleError(
                f"{self.name} acts for {self.origin}, and this acts for everybody. "
                f"An admin makes a token for it without --origin"
            )


@dataclass(frozen=True, slots=True)
class Token:
    """A named token; the secret itself is shown once and never kept."""

    name: str
    digest: str
    role: Role
    origin: str
    created_at: float
    expires_at: float | None = None

    def pack(self) -> bytes:
        """JSON, as the store keeps it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, value: bytes) -> "Token":
        """From what `pack` made; ValueError if it is something else."""
        try:
            fields = json.loads(value)
            return cls(**{**fields, "role": Role(fields["role"])})
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"no token: {error!r}") from error


def digest(secret: str) -> str:
    """Tokens carry 256 random bits, so one plain SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def mint() -> str:
    """A new secret of 256 random bits."""
    return _MARK + secrets.token_urlsafe(32)


def authenticate(secret: str, tokens: dict[str, Token], unix: float) -> Token:
    """The token of that secret, found by its hash; AccessError if unknown or expired."""
    token = tokens.get(digest(secret))
    if token is None:
        raise AccessError("this token is not known here; ask an admin for: xdpctl token create")
    if token.expires_at is not None and token.expires_at <= unix:
        raise AccessError(f"the token {token.name} has expired; ask an admin for a new one")
    return token
