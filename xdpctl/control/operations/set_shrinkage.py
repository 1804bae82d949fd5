# SPDX-License-Identifier: GPL-2.0-or-later
"""Detects lists that look like a mistake: empty, much smaller than before, or far too broad."""

from collections.abc import Mapping

from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.errors import ConflictError
from xdpctl.model.source_set import Entries, SourceSet, count

_SHRINK = 0.5  # a list with a smaller share of the previous number of entries is refused
# Shares of a family's address space: the most a feed may drop, and what it may always add; and the
# factor by which a feed may grow.
_SPACE_MAX, _SPACE_FREE, _GROWTH = 1 / 4, 1 / 256, 4
_LEFT_OUT = {"too_wide": "too wide (wider than /8, IPv6 /16)", "private": "private or special"}


def refuse_loss(
    entries: Entries,
    counts: Mapping[str, int],
    standing: SourceSet | None,
    before: Entries,
    force: bool,
) -> None:
    """ConflictError if a list has far fewer entries than the current one, unless forced.

    A list that screening leaves empty is refused even then.
    """
    now = count(entries)
    left_out = [f"{counts[key]:,} {why}" for key, why in _LEFT_OUT.items() if counts.get(key)]
    if not now and left_out:
        raise ConflictError(
            f"no entry of the list is left; left out: {', '.join(left_out)}",
            "allow_private" if counts.get("private") else "entries",
            "give allow_private (--allow-private) if that is intended"
            if counts.get("private")
            else "drop so wide a prefix by a rule: xdpctl block",
        )
    listed = now + counts.get("saved", 0)  # the number before merging
    previous = count(before) + (standing.report.get("saved", 0) if standing else 0)
    if force or (now and listed >= previous * _SHRINK):
        return
    also = f" (left out: {', '.join(left_out)})" if left_out else ""
    comparison = (
        f", the current one {previous:,}; this looks like a broken feed, so the current one stays"
    )
    raise ConflictError(
        f"the new list has {_entries(listed)}{also}{comparison if standing else ''}",
        "entries",
        "give force (--force) if that is intended",
    )


def refuse_growth(
    entries: Entries, standing: SourceSet | None, before: Entries, force: bool
) -> None:
    """ConflictError if a feed's list drops far more of the address space than before."""
    if force:
        return
    for family, keys in entries.items():
        now, was = FAMILIES[family].share(keys), FAMILIES[family].share(before[family])
        most = min(_SPACE_MAX, _GROWTH * was + _SPACE_FREE) if standing else _SPACE_MAX
        if now > most:
            comparison = f"; the current one drops {was:.2%}, and stays" if standing else ""
            raise ConflictError(
                f"the new list drops {now:.2%} of IPv{family}{comparison}",
                "entries",
                "check the list, and give force (--force) if that is intended",
            )


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"
