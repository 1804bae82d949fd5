# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors of a route, as the OpenAPI document has them."""

from typing import Any

from xdpctl.errors import (
    BusyError,
    CapacityError,
    ConflictError,
    DatapathError,
    LockoutError,
    NotFoundError,
    QuotaError,
    RuleError,
    StaleError,
    StoreError,
    UnconfirmedError,
    XdpctlError,
)
from xdpctl_api.problems import MEDIA_TYPE, STATUS, TITLES

# what a change may raise
CHANGE = (BusyError, StoreError, DatapathError)
GUARDED = (ConflictError, LockoutError, UnconfirmedError, *CHANGE)
RULE = (QuotaError, CapacityError, *GUARDED)
FOUND_RULE = (RuleError, NotFoundError)  # an id may be malformed
HELD_RULE = (*FOUND_RULE, StaleError, *RULE)

Responses = dict[int | str, dict[str, Any]]


def refusals(*raised: type[XdpctlError] | tuple[int, str]) -> Responses:
    """`responses` of a route that raises these errors, or answers a status with a kind of problem.

    The document adds what every route answers.
    """
    found: dict[int, list[str]] = {}
    for one in raised:
        status, kind = one if isinstance(one, tuple) else STATUS[one]
        found.setdefault(status, []).append(in_words(kind))
    return {status: refusal(*dict.fromkeys(whys)) for status, whys in sorted(found.items())}


def refusal(*whys: str) -> dict[str, Any]:
    """A response that is a problem document; `whys` say when it is answered."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "; ".join(whys), "content": {MEDIA_TYPE: {"schema": schema}}}


def streamed(media: str, what: str, binary: bool = True) -> dict[str, Any]:
    """A response that is not JSON: bytes, or text."""
    schema = {"type": "string"} | ({"format": "binary"} if binary else {})
    return {"description": what, "content": {media: {"schema": schema}}}


def in_words(kind: str) -> str:
    """A kind of problem, with its title."""
    return f"`{kind}`: {TITLES[kind]}"
