# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections for fetches: only to checked addresses, and never beyond the deadline."""

import ssl
import time
from collections.abc import Callable
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Network, ip_address
from socket import AF_INET6, SOCK_STREAM, getaddrinfo, inet_aton, inet_pton
from threading import Thread
from typing import Any

import httpcore2

from xdpctl.errors import FetchError
from xdpctl.lists.settings import FetchPolicy

_ISSUER_UNKNOWN = 20  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
_NO_STORE = " (install ca-certificates, or set feeds.ca_file)"
_NAT64 = IPv6Network("64:ff9b::/96")
_KINDS = "unspecified loopback link_local multicast reserved site_local private".split()

Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, in the system's order of preference."""
    entries = getaddrinfo(host, port, type=SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def literal(text: str) -> bytes | None:
    """An address in any form that a resolver accepts (127.1, 0x7f000001); None for a name."""
    try:
        return inet_pton(AF_INET6, text) if ":" in text else inet_aton(text)
    except OSError:
        return None


def kind_of(address: bytes) -> str:
    """The kind of an address, or of the IPv4 address embedded in it; empty for a public one."""
    ip = ip_address(address)
    if ip.version == 6:
        inner = IPv4Address(address[12:]) if ip in _NAT64 else None
        ip = ip.ipv4_mapped or ip.sixtofour or inner or ip
    kinds = [kind for kind in _KINDS if getattr(ip, f"is_{kind}", False)]
    return kinds[0].replace("_", "-") if kinds else "" if ip.is_global else "shared"


def in_full(kind: str) -> str:
    """The kind of an address with `a` or `an`."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} address"


def in_words(error: Exception) -> str:
    """A short message for an error of the transfer, from its original cause."""
    inner = error.args[0] if error.args else None  # httpcore2 puts the original error here
    cause = inner if isinstance(inner, Exception) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        fix = _NO_STORE if cause.verify_code == _ISSUER_UNKNOWN else ""
        return f"its certificate is not accepted: {cause.verify_message}{fix}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(error).split())[:200]


class Dialer(httpcore2.NetworkBackend):
    """Connects only to addresses that it has checked, and ends every step at the deadline."""

    def __init__(
        self, policy: FetchPolicy, resolve: Resolve, network: httpcore2.NetworkBackend
    ) -> None:
        self.policy, self._resolve, self._network = policy, resolve, network
        self._end = time.monotonic() + policy.deadline_seconds

    def left(self) -> float:
        """The seconds that the next step may take; FetchError if the deadline has passed."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise FetchError(f"not finished after {self.policy.deadline_seconds:g} s")
        return min(left, self.policy.timeout_seconds)

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.NetworkStream:
        """Connect to the first allowed address that answers; FetchError if none does."""
        why = "no address"
        for address in self._addresses(host, port):
            try:
                return _Stream(self._network.connect_tcp(address, port, self.left()), self)
            except httpcore2.TimeoutException:
                why = f"{address} does not answer"
            except httpcore2.NetworkError as error:
                why = f"{address}: {in_words(error)}"
        raise FetchError(f"{host} port {port}: {why}")

    def _addresses(self, host: str, port: int) -> list[str]:
        """All addresses of a host; FetchError if one of them is not allowed."""
        future: Future[list[str]] = Future()
        Thread(target=self._ask, args=(future, host, port), name="resolve", daemon=True).start()
        try:
            addresses = future.result(self.left())
        except TimeoutError:
            raise FetchError(f"{host}: no answer from DNS") from None
        except (OSError, UnicodeError) as error:
            raise FetchError(f"{host} does not resolve: {in_words(error)}") from error
        if self.policy.allow_private or self.policy.proxy:
            return addresses
        for address in addresses:
            packed = literal(address)
            if kind := kind_of(packed) if packed else "malformed":
                raise FetchError(f"{host} is at {address}, {in_full(kind)}, which is not allowed")
        return addresses

    def _ask(self, future: Future[list[str]], host: str, port: int) -> None:
        try:
            future.set_result(self._resolve(host, port))
        except Exception as error:
            future.set_exception(error)


class _Stream(httpcore2.NetworkStream):
    """A connection whose timeouts come from the dialer, and not from httpcore2."""

    def __init__(self, inner: httpcore2.NetworkStream, dialer: Dialer) -> None:
        self._inner, self._dialer = inner, dialer

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._dialer.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._dialer.left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore2.NetworkStream:
        try:
            inner = self._inner.start_tls(ssl_context, server_hostname, self._dialer.left())
        except FetchError:
            self.close()  # httpcore2 closes only streams that it has received
            raise
        return _Stream(inner, self._dialer)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
