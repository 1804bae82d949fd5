# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognises what a text that is not a prefix may be, and says what to write instead. Pure."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, summarize_address_range
from urllib.parse import urlsplit

_PLAIN = "write an address or a prefix, for example 203.0.113.7 or 2001:db8::/32"
_SHOWN = 4  # prefixes of a range
_NAME = re.compile(r"(?=.{3,253}$)[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,63}\.?", re.IGNORECASE)
Address = IPv4Address | IPv6Address


def instead(text: str) -> str:
    """What to write instead of a text that is not a prefix."""
    text = text.strip()[:300]
    for recognise in (_brackets, _port, _url, _range, _number, _country, _name):
        if advice := recognise(text):
            return advice
    return _PLAIN


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _brackets(text: str) -> str:
    match = re.fullmatch(r"\[([^\]]*)\](:\d{1,5})?", text)
    if not match or not _address(match[1]):
        return ""
    return _with_port(match[1], match[2][1:]) if match[2] else f"write {match[1]} without brackets"


def _port(text: str) -> str:
    bare, mark, port = text.rpartition(":")
    is_port = mark and port.isascii() and port.isdigit() and len(port) <= 5
    return _with_port(bare, port) if is_port and _address(bare) else ""


def _with_port(address: str, port: str) -> str:
    match = f"src {address} tcp src-port {port}"
    return f"write {address}; for that port alone: xdpctl block --match '{match}'"


def _url(text: str) -> str:
    if "://" not in text:
        return ""
    try:
        host = urlsplit(text).hostname or ""
    except ValueError:
        return ""
    if _address(host):
        return f"write {host}"
    return f"if it is the URL of a list: xdpctl set put NAME --url {text[:200]}"


def _range(text: str) -> str:
    first, mark, last = (part.strip() for part in text.partition("-"))
    begin, end = _address(first), _address(last)
    if not mark or begin is None or end is None or begin.version != end.version:
        return ""
    if int(begin) > int(end):
        return ""
    prefixes = list(map(str, summarize_address_range(begin, end)))
    more = f" and {len(prefixes) - _SHOWN} more" if len(prefixes) > _SHOWN else ""
    return f"write the range as prefixes: {', '.join(prefixes[:_SHOWN])}{more}"


def _number(text: str) -> str:
    match = re.fullmatch(r"AS ?([0-9]{1,10})", text, re.IGNORECASE | re.ASCII)
    return (
        f"to block a network by its number: xdpctl set put NAME --asn AS{match[1]}" if match else ""
    )


def _country(text: str) -> str:
    if not re.fullmatch("[A-Za-z]{2}", text):
        return ""
    return f"to block a country: xdpctl set put NAME --country {text.upper()}"


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        return ""
    return f"look up the addresses of {text} first: a name may have several, and they change"
