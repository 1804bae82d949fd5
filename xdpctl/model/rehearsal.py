# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of asking a peer about a spare address, in peacetime. Values only."""

from typing import Any

import msgspec

from xdpctl.model.route import Kind


class Rehearsal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rehearsal; `at` is Unix time.

    `accepted`: the session took the route, and stood. `enforced`: packets to the address ended;
    None: `why` says why that cannot be told. `seen`: a person found the route in the provider's
    looking glass; None: nobody has looked.
    """

    at: float
    by: str
    kind: Kind
    what: str
    accepted: bool = False
    enforced: bool | None = None
    why: str = ""
    seen: bool | None = None

    def replace(self, **changes: Any) -> "Rehearsal":
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)

    def __str__(self) -> str:
        if not self.accepted:
            return f"{self.kind}: not accepted: {self.why}"
        enforced = {True: "enforced", False: "ignored", None: f"cannot be told: {self.why}"}
        seen = {True: ", seen there", False: ", not seen there", None: ""}
        return f"{self.kind}: accepted, {enforced[self.enforced]}{seen[self.seen]}"


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Rehearsal)


def decode(value: bytes) -> Rehearsal:
    """The stored rehearsal; ValueError if it is unreadable."""
    return _decoder.decode(value)
