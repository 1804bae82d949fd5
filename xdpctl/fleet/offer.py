# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node of the fleet serves to those that join. Read by the API, so it imports no keys."""

import msgspec


class Offer(msgspec.Struct, frozen=True):
    """A sealed bundle, as a node serves it until Unix time `ends`, or until it was used.

    `proof` is what a node sends after it has used the token; it can be made from its secret alone.
    """

    sealed: bytes
    ends: float
    proof: str


encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Offer)


def decode(data: bytes) -> Offer | None:
    """The offer; None if it is damaged."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError:
        return None
