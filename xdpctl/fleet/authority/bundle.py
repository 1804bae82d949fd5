# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node needs to join, sealed with the secret of a token; and the token.

The node that serves a bundle cannot read it, so any node may serve it to anybody. The token also
has the SHA-256 of the authority's certificate, which the joining node compares.
"""

import hashlib
import secrets
import ssl
import time
from enum import StrEnum
from http.client import HTTPException, HTTPSConnection
from typing import NamedTuple

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from xdpctl.errors import AccessError, ConfigError, Unreachable
from xdpctl.fleet.settings import PORT

_MARK, _ID_BYTES = "xdpctlfleet1", 8
BYTES_MAX = 256 << 10
PATH = "/fleet/joining/"
_SECONDS = 10.0


class MemberPart(msgspec.Struct, frozen=True):
    """What a node also needs to be a member of the engine."""

    certificate: bytes
    key: bytes
    admin_certificate: bytes
    admin_key: bytes
    initial_cluster: str
    revocations: bytes


class Kind(StrEnum):
    """What a token is for: a new node, a node that becomes a member, or a host that is no node:
    a member alone, or a relay.
    """

    NODE = "node"
    PROMOTION = "promotion"
    WITNESS = "witness"
    RELAY = "relay"


class Bundle(msgspec.Struct, frozen=True, omit_defaults=True):
    """A host's place in the fleet. `ends` is Unix time: it cannot be used afterwards.

    The certificate and the key are those of a new node; one that becomes a member keeps its key.
    `behind_relays`: the endpoints are relays.
    """

    fleet: str
    name: str
    address: str
    endpoints: tuple[str, ...]
    prefix: str
    ends: float
    ca: bytes
    kind: Kind = Kind.NODE
    groups: tuple[str, ...] = ()
    certificate: bytes = b""
    key: bytes = b""
    member: MemberPart | None = None
    behind_relays: bool = False


class Token(NamedTuple):
    """A token in its parts: which bundle, its secret, and the hash of the authority."""

    id: str
    secret: str
    authority: str

    @property
    def proof(self) -> str:
        """A proof that the sender has the token, which does not reveal its secret."""
        return hashlib.sha256(b"used " + self.secret.encode()).hexdigest()

    def __str__(self) -> str:
        return ".".join((_MARK, *self))


def parse_token(text: str) -> Token:
    """The token; ConfigError if the text is no token."""
    mark, *parts = text.strip().split(".")
    hexadecimal = frozenset("0123456789abcdef")
    if mark != _MARK or len(parts) != 3 or len(parts[1]) != 44:
        raise ConfigError("this is not a token of `xdpctl fleet token`: copy it whole")
    token = Token(*parts)
    if not hexadecimal.issuperset(token.id) or len(token.id) != 2 * _ID_BYTES:
        raise ConfigError("the token is damaged: copy it whole")
    return token


def seal(bundle: Bundle) -> tuple[Token, bytes]:
    """A new token, and the bundle that it opens."""
    secret = Fernet.generate_key()
    token = Token(secrets.token_hex(_ID_BYTES), secret.decode(), authority_hash(bundle.ca))
    return token, Fernet(secret).encrypt(msgspec.msgpack.encode(bundle))


def unseal(token: Token, sealed: bytes) -> Bundle:
    """The bundle. AccessError if the token does not open it, or it has ended."""
    try:
        data = Fernet(token.secret.encode()).decrypt(sealed[:BYTES_MAX])
        bundle = msgspec.msgpack.decode(data, type=Bundle)
    except (InvalidToken, ValueError, msgspec.DecodeError):
        raise AccessError("this token does not open what the node sent: make a new one") from None
    if authority_hash(bundle.ca) != token.authority:
        raise AccessError("the authority is not the one that the token names")
    if bundle.ends < time.time():
        raise AccessError(
            "the token has expired: on the node where it was made, xdpctl fleet revoke "
            f"{bundle.name}, and make a new one"
        )
    return bundle


def authority_hash(ca: bytes) -> str:
    """The SHA-256 of an authority's certificate, in hex."""
    return hashlib.sha256(ca.strip()).hexdigest()


def fetch(host: str, token: Token) -> Bundle:
    """The bundle of a token, from `HOST` or `HOST:PORT`.

    The connection is encrypted and not verified: what comes is sealed with the token's secret, and
    has the certificate of the authority that the token names. Unreachable, ConfigError or
    AccessError.
    """
    status, data = _asked(host, token.id)
    if status != 200:
        raise ConfigError(
            f"{host} does not know this token: it has expired, was used, or was made on another "
            "node. Give the address of the node where it was made"
        )
    return unseal(token, data)


def used(host: str, token: Token) -> None:
    """Let the node forget the bundle: the token cannot be used again. Unreachable."""
    _asked(host, f"{token.id}/{token.proof}")


def _asked(host: str, name: str) -> tuple[int, bytes]:
    """The status and the body of an answer."""
    address, port = _split(host)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection(address, port, timeout=_SECONDS, context=context)
    try:
        connection.request("GET", PATH + name)
        answer = connection.getresponse()
        return answer.status, answer.read(BYTES_MAX + 1)
    except (OSError, HTTPException) as error:
        problem = error or repr(error)
        raise Unreachable(f"{address} port {port} does not answer: {problem}") from None
    finally:
        connection.close()


def _split(host: str) -> tuple[str, int]:
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    elif host.count(":") == 1:
        name, _, port = host.partition(":")
    else:
        name, port = host, ""
    if port and not port.isdigit():
        raise ConfigError(f"{host!r} is not HOST or HOST:PORT")
    return name, int(port or PORT)
