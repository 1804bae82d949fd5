# SPDX-License-Identifier: GPL-2.0-or-later
"""The records of one kind as they will be: staged changes on top of the current records."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Overlay(Generic[K, V]):
    """Records by identity; `staged` has the changed records, and None for removed ones.

    `below` has the current records, or is an overlay with earlier staged changes.
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
        """The current record, without any staged change; None if there is none."""
        below = self._below
        return below.stood(identity) if isinstance(below, Overlay) else below.get(identity)

    def __setitem__(self, identity: K, record: V | None) -> None:
        self.staged[identity] = record

    def all(self) -> dict[K, V]:
        """All records as they will be."""
        stands, layers = self._layers()
        merged: dict[K, V | None] = dict(stands)
        for layer in layers:
            merged |= layer
        return {identity: record for identity, record in merged.items() if record is not None}

    def values(self) -> list[V]:
        """All records as they will be, without their identities."""
        return list(self.all().values())

    def changes(self) -> Iterator[tuple[K, V | None]]:
        """The latest staged value of each record that was changed here or below."""
        merged: dict[K, V | None] = {}
        for layer in self._layers()[1]:
            merged |= layer
        yield from merged.items()

    def _layers(self) -> tuple[Mapping[K, V], list[dict[K, V | None]]]:
        """The current records, and the layers of staged changes, oldest first."""
        layers, below = [self.staged], self._below
        while isinstance(below, Overlay):
            layers.append(below.staged)
            below = below._below
        return below, layers[::-1]
