# SPDX-License-Identifier: GPL-2.0-or-later
"""Tokens are stored as hashes, expire, and allow only what their role may do."""

import pytest

from xdpctl.errors import AccessError, RoleError
from xdpctl.model.identity import Caller, Role, Token, authenticate, digest, mint

MAY = {
    Role.VIEWER: {Role.VIEWER},
    Role.HELPDESK: {Role.HELPDESK},
    Role.OPERATOR: {Role.VIEWER, Role.HELPDESK, Role.OPERATOR},
    Role.DETECTOR: {Role.DETECTOR},
    Role.ADMIN: {Role.VIEWER, Role.HELPDESK, Role.OPERATOR, Role.ADMIN},
}


def token(secret: str, expires_at: float | None = None) -> Token:
    return Token("t", digest(secret), Role.VIEWER, "operator", 1.5, expires_at)


def test_secrets_are_long_and_unique() -> None:
    made = {mint() for _ in range(23)}
    assert len(made) == 23
    assert all(secret.startswith("xdpctl_") and len(secret) >= 50 for secret in made)


@pytest.mark.parametrize("expires_at", [None, 9.25])
def test_a_stored_token_is_read_back_without_its_secret(expires_at: float | None) -> None:
    secret = mint()
    packed = token(secret, expires_at).pack()
    assert secret.encode() not in packed
    assert Token.unpack(packed) == token(secret, expires_at)
    assert Token.unpack(packed).role is Role.VIEWER


def test_a_secret_finds_its_token_until_it_ends() -> None:
    held = {digest("s"): token("s", expires_at=10.0)}
    assert authenticate("s", held, 9.9).name == "t"
    with pytest.raises(AccessError, match="expired"):
        authenticate("s", held, 10.0)
    for wrong in ("", "S", "s ", digest("s")):
        with pytest.raises(AccessError, match="unknown token"):
            authenticate(wrong, held, 0.0)


@pytest.mark.parametrize("needed", Role)
@pytest.mark.parametrize("role", Role)
def test_a_role_permits_its_calls_and_nothing_else(role: Role, needed: Role) -> None:
    caller = Caller("token t", role, "operator")
    if needed in MAY[role]:
        caller.require(needed)
    else:
        with pytest.raises(RoleError, match=f"has the role {role}; this needs the role {needed}"):
            caller.require(needed)
