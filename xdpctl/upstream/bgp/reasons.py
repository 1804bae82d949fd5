# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a BGP session ended, in words: what the peer says, and what to do about it. Pure."""

import re

from xdpctl.model.event import plain

NOT_YET = "no session yet"
NO_CONNECTION = (
    "no connection: check its address, TCP port 179 there, and that both sides have the same "
    "password and ttl_security"
)
_NOT_HEARD = "nothing was heard for the hold time: the link is full, or its router is away"
_COMMUNICATION = ((6, 2), (6, 4))  # with a text for people (RFC 9003)
_CLASSES = {  # RFC 4271 section 4.5, RFC 7313
    1: "a message had a header that it cannot read",
    2: "it does not accept the OPEN message",
    3: "it does not accept an UPDATE message",
    4: _NOT_HEARD,
    5: "it did not expect a message at that time",
    6: "it ended the session",
    7: "it does not accept a ROUTE-REFRESH message",
}
_WORDS = {  # RFC 4271 section 4.5, RFC 5492, RFC 4486, RFC 8538, RFC 9384
    (2, 1): "it speaks another version of BGP",
    (2, 2): "the AS numbers do not agree: check peer_as and local_as",
    (
        2,
        3,
    ): "it does not accept our router id, the last 32 bits of local_address",
    (2, 4): "it does not know an optional parameter",
    (2, 5): "it does not accept the authentication: check password_file",
    (2, 6): "it does not accept the hold time: check hold_time",
    (2, 7): "it lacks a capability: ask for FlowSpec there, or set flowspec = false",
    (3, 7): "a route went in a loop between ASes",
    (3, 8): "it does not accept the next hop: check next_hop",
    (3, 9): "it does not accept an attribute: it may not know FlowSpec's communities",
    (3, 10): "it does not accept a prefix or a FlowSpec route",
    (6, 1): "it was sent more routes than it accepts: set `most` to its limit for this session",
    (6, 2): "it was shut down there",
    (6, 3): "this session is not configured there any more",
    (6, 4): "it was reset there",
    (
        6,
        5,
    ): "it rejects the connection: ask whether the session is configured there",
    (6, 6): "its configuration changed",
    (6, 7): "both sides connected at the same time; it is tried again",
    (6, 8): "it is out of resources",
    (6, 9): "it was reset there",
    (6, 10): "it sees that the link is down (BFD)",
}
_IN_TEXT = re.compile(r"\((\d{1,3}), ?(\d{1,3})\)")
_TEXT = re.compile(r'Shutdown Communication: "(.*)"')


def of_notification(code: object, subcode: object, message: object = "") -> str:
    """The reason in a notification; `message` is what ExaBGP says about its data."""
    if not (isinstance(code, int) and isinstance(subcode, int)):
        return "it ended the session with a notification that cannot be read"
    words = _WORDS.get((code, subcode)) or _CLASSES.get(code) or "it ended the session"
    told = _TEXT.search(plain(message)) if (code, subcode) in _COMMUNICATION else None
    said = f': "{told[1]}"' if told and told[1] else ""
    return f"{words}{said} (notification {code}/{subcode})"


def of_text(text: object) -> str:
    """The reason in ExaBGP's own words, which may have the codes of a notification."""
    reason = plain(text)
    if found := _IN_TEXT.search(reason):
        return of_notification(int(found[1]), int(found[2]), reason)
    if "closing connection" in reason:
        return "it closed the connection, or does not answer"
    return reason or "the session ended"
