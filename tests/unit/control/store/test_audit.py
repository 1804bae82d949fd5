# SPDX-License-Identifier: GPL-2.0-or-later
"""The chain of audit records: changed, removed, inserted or swapped records are detected."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.control.store.audit import (
    START,
    Chain,
    Event,
    checkpoint,
    head,
    signed_part,
    verify,
)

texts = st.text(max_size=8)
events = st.builds(
    Event, texts, texts, texts, st.dictionaries(texts, st.one_of(texts, st.none(), st.integers()))
)


def written(*batches: list[Event]) -> list[bytes]:
    chain, records = Chain(None), []
    for unix, batch in enumerate(batches):
        fresh = chain.append(batch, float(unix))
        chain.commit(fresh)
        records += fresh
    return records


def some(count: int) -> list[bytes]:
    return written([Event("root", "rule.add", f"10.0.0.{n}_32", {"n": n}) for n in range(count)])


@given(st.lists(st.lists(events, max_size=4), max_size=4))
def test_records_written_in_order_verify(batches: list[list[Event]]) -> None:
    records = written(*batches)
    verdict = verify(records)
    assert verdict.problem is None
    assert verdict.records == sum(map(len, batches))
    assert verdict.last_hash == (json.loads(records[-1])["hash"] if records else START)


def test_a_record_says_who_did_what_when() -> None:
    (record,) = map(json.loads, written([Event("root", "rule.add", "x", {"ttl": 60})]))
    assert record["sequence"] == 1
    assert record["previous"] == START
    assert (record["actor"], record["action"], record["subject"]) == ("root", "rule.add", "x")
    assert record["at"] == "1970-01-01T00:00:00.000+00:00"
    assert record["detail"] == {"ttl": 60}


@given(st.integers(0, 6), st.sampled_from(["at", "actor", "action", "subject", "detail"]))
def test_a_changed_record_is_found(index: int, field: str) -> None:
    records = some(7)
    record = json.loads(records[index])
    record[field] = {"forged": True} if field == "detail" else "forged"
    records[index] = json.dumps(record).encode()
    verdict = verify(records)
    assert verdict.problem == f"record {index + 1} was changed after it was written"
    assert verdict.records == index


@given(st.integers(0, 5))
def test_the_removal_of_a_record_is_detected(index: int) -> None:
    records = some(7)
    del records[index]
    assert verify(records).problem == f"record {index + 1} is missing: {index + 2} follows"


@given(st.integers(0, 5))
def test_swapped_records_are_found(index: int) -> None:
    records = some(7)
    records[index], records[index + 1] = records[index + 1], records[index]
    assert "is missing" in (verify(records).problem or "")


@given(st.integers(0, 6))
def test_an_inserted_record_with_valid_hashes_is_found(index: int) -> None:
    records = some(7)
    before = records[index - 1] if index else None
    (forged,) = Chain(before).append([Event("nobody", "rule.remove", "x", {})], 0.0)
    assert verify([*records[:index], forged, *records[index:]]).problem


def test_a_record_with_a_recomputed_hash_breaks_the_chain_at_the_next() -> None:
    records = some(3)
    (records[1],) = Chain(records[0]).append([Event("nobody", "x", "y", {})], 0.0)
    assert verify(records).problem == "record 3 was changed after it was written"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b"\xff", b"null", b'{"sequence": 3}'])
def test_an_unreadable_record_is_found(raw: bytes) -> None:
    records = some(3)
    records[2] = raw
    verdict = verify(records)
    assert verdict.problem == "the record after 2 is unreadable"
    assert verdict.records == 2


def test_a_cut_tail_shows_in_the_last_hash() -> None:
    records = some(3)
    assert verify(records[:2]).problem is None
    assert verify(records[:2]).last_hash != verify(records).last_hash


def signature(data: bytes) -> dict[str, str]:
    return {"signature": data.hex(), "signer": "nobody"}


def test_a_signed_head_shows_that_the_end_is_missing() -> None:
    records = some(3)
    found, _ = signed_part(head(records[-1], 0.0, signature), "head")
    known = {found["sequence"]: found["hash"]}
    assert verify(records, known=known).problem is None
    assert verify(records[:2], known=known).problem == (
        "the log ends at record 2, but record 3 was signed"
    )


def test_a_signed_head_shows_that_the_log_was_written_anew() -> None:
    records = some(3)
    anew = written([Event("root", "nothing", "", {})] * 5)
    assert verify(anew).problem is None
    known = {3: json.loads(records[-1])["hash"]}
    assert verify(anew, known=known).problem == (
        "record 3 is not the one that was signed: the log was rewritten"
    )


def test_a_head_is_no_checkpoint_and_a_checkpoint_no_head() -> None:
    (record,) = some(1)
    with pytest.raises(ValueError, match="not a signed checkpoint"):
        signed_part(head(record, 0.0, signature), "checkpoint")
    with pytest.raises(ValueError, match="not a signed head"):
        signed_part(checkpoint(record, 1, 0.0, signature), "head")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"7", b'{"kind": "head"}', b'{"kind": "head", "sequence": "1", "hash": ""}']
)
def test_text_that_is_not_a_signed_statement_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not a signed head"):
        signed_part(raw, "head")


def test_a_chain_continues_where_the_last_one_stopped() -> None:
    records = some(2)
    chain = Chain(records[-1])
    records += chain.append([Event("root", "x", "y", {})], 9.0)
    assert verify(records).problem is None


def test_the_numbers_of_uncommitted_records_are_reused() -> None:
    chain = Chain(None)
    lost = chain.append([Event("root", "lost", "", {})], 0.0)
    kept = chain.append([Event("root", "kept", "", {})], 0.0)
    chain.commit(kept)
    assert lost != kept
    assert verify(kept).problem is None
