# SPDX-License-Identifier: GPL-2.0-or-later
"""One producer, many readers: order, resumption, slow readers, and too many."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest

from xdpctl.errors import BusyError
from xdpctl.stream import broadcast as broadcasting
from xdpctl.stream.broadcast import Broadcast


def values(text: bytes) -> list[int]:
    return [json.loads(found) for found in re.findall(rb"^data: (\d+)$", text, re.M)]


def ids(text: bytes) -> list[str]:
    return re.findall(r"^id: (\S+)$", text.decode(), re.M)


async def some(events: AsyncIterator[bytes], count: int) -> bytes:
    """Read until this number of events has come; return the text."""
    text = b""
    while len(ids(text)) < count:
        text += await asyncio.wait_for(anext(events), 5)
    return text


def test_every_reader_gets_everything_in_order() -> None:
    async def run() -> None:
        broadcast = Broadcast()
        broadcast.publish("figures", 0)
        readers = [broadcast.read() for _ in range(20)]
        for reader in readers:
            assert await anext(reader) == b"", "what was before is not repeated"
        for number in range(1, 6):
            await asyncio.to_thread(broadcast.publish, "figures", number)
        for reader in readers:
            assert values(await some(reader, 5)) == [1, 2, 3, 4, 5]
        assert broadcast.readers == 20
        for reader in readers:
            await reader.aclose()  # type: ignore[attr-defined]
        assert broadcast.readers == 0

    asyncio.run(run())


def test_a_reader_resumes_where_it_was() -> None:
    async def run() -> None:
        broadcast = Broadcast()
        first = broadcast.read()
        await anext(first)
        for number in range(5):
            broadcast.publish("figures", number)
        text = await some(first, 5)
        again = await anext(broadcast.read(ids(text)[1]))
        assert values(again) == [2, 3, 4]
        assert b"missed" not in again

    asyncio.run(run())


@pytest.mark.parametrize("last_id", ["other-3", "nonsense", "-", "a-b", "a-" + "9" * 50, "\x00"])
def test_an_event_id_of_another_process_counts_as_missed_events(last_id: str) -> None:
    async def run() -> bytes:
        broadcast = Broadcast()
        broadcast.publish("figures", 1)
        return await anext(broadcast.read(last_id))

    assert asyncio.run(run()).startswith(b"event: missed")


def test_a_slow_reader_is_told_that_it_missed_something() -> None:
    async def run() -> None:
        broadcast = Broadcast(kept=3)
        reader = broadcast.read()
        await anext(reader)
        for number in range(10):
            broadcast.publish("figures", number)
        assert await anext(reader) == b"event: missed\ndata: {}\n\n"
        assert values(await anext(reader)) == [7, 8, 9]

    asyncio.run(run())


def test_one_too_many_is_refused_politely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasting, "READERS_MAX", 2)

    async def run() -> None:
        broadcast = Broadcast()
        readers = [broadcast.read(), broadcast.read()]
        for reader in readers:
            await anext(reader)
        with pytest.raises(BusyError, match="2 streams are open"):
            await anext(broadcast.read())

    asyncio.run(run())


def test_a_line_feed_in_a_value_begins_no_new_event() -> None:
    async def run() -> bytes:
        broadcast = Broadcast()
        reader = broadcast.read()
        await anext(reader)
        broadcast.publish("incident", {"subject": "x\n\nevent: figures\ndata: 1\n\n"})
        return await some(reader, 1)

    text = asyncio.run(run())
    assert text.count(b"\n\n") == 1
    assert len(re.findall(rb"^event:", text, re.M)) == 1
