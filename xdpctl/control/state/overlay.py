# SPDX-License-Identifier: GPL-2.0-or-later
"""The records of one kind as they will be: what is staged, on top of what stands."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Overlay(Generic[K, V]):
    """Records by identity; `staged` has the changed ones, and None for the removed ones.

    `below` are the records that stand, or others with staged changes of their own.
    """

    __slots__ = ("_below", "staged")

    def __init__(self, below: "Mapping[K, V] | Overlay[K, V]") -> None:
        self._below = below
        self.staged: dict[K, V | None] = {}

    def get(self, identity: K) -> V | None:
        """The record as it will be; None if there will be none."""
        if identity in self.staged:
            return self.staged[identity]
        return self._below.get(identity)

    def stood(self, identity: K) -> V | None:
        """The record that stands, whatever is staged; None if there is none."""
        below = self._below
        return below.stood(identity) if isinstance(below, Overlay) else below.get(identity)

    def __setitem__(self, identity: K, record: V | None) -> None:
        self.staged[identity] = record

    def all(self) -> dict[K, V]:
        """All records that there will be."""
        stands, layers = self._layers()
        merged: dict[K, V | None] = dict(stands)
        for layer in layers:
            merged |= layer
        return {identity: record for identity, record in merged.items() if record is not None}

    def values(self) -> list[V]:
        """All records that there will be, without their identities."""
        return list(self.all().values())

    def changes(self) -> Iterator[tuple[K, V | None]]:
        """What was staged here and below, each as it is now."""
        merged: dict[K, V | None] = {}
        for layer in self._layers()[1]:
            merged |= layer
        yield from merged.items()

    def _layers(self) -> tuple[Mapping[K, V], list[dict[K, V | None]]]:
        """What stands, and all that is staged, the oldest first."""
        layers, below = [self.staged], self._below
        while isinstance(below, Overlay):
            layers.append(below.staged)
            below = below._below
        return below, layers[::-1]
