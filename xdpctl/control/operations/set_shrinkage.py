# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists that look like a mistake: nothing in them is left, or much less than stands."""

from collections.abc import Mapping

from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.errors import ConflictError
from xdpctl.model.source_set import Entries, SourceSet, count

_SHRINK = 0.5  # a new list with a smaller share of the old one's entries is taken for a mistake
# of a family's address space: what no feed may drop, and what it may always grow by
_SPACE_MAX, _SPACE_FREE, _GROWTH = 1 / 4, 1 / 256, 4
_LEFT_OUT = {"too_wide": "too wide (wider than /8, IPv6 /16)", "private": "private or special"}


def refuse_loss(
    entries: Entries,
    counts: Mapping[str, int],
    standing: SourceSet | None,
    before: Entries,
    force: bool,
) -> None:
    """ConflictError unless the list has about what stands, or it is forced.

    What is left out of a whole list is never meant to be an empty set.
    """
    now = count(entries)
    left_out = [f"{counts[key]:,} {why}" for key, why in _LEFT_OUT.items() if counts.get(key)]
    if not now and left_out:
        raise ConflictError(
            f"nothing of the list is left: {', '.join(left_out)}",
            "allow_private" if counts.get("private") else "entries",
            "give allow_private (--allow-private) if it is meant"
            if counts.get("private")
            else "drop something so wide by a rule: xdpctl block",
        )
    listed = now + counts.get("saved", 0)  # before it was merged, as it comes
    stood = count(before) + (standing.report.get("saved", 0) if standing else 0)
    if force or (now and listed >= stood * _SHRINK):
        return
    also = f" (left out: {', '.join(left_out)})" if left_out else ""
    stands = f", the one that stands {stood:,}; that looks like a broken feed, so the old one stays"
    raise ConflictError(
        f"the new list has {_entries(listed)}{also}{stands if standing else ''}",
        "entries",
        "give force (--force) if it is meant",
    )


def refuse_growth(
    entries: Entries, standing: SourceSet | None, before: Entries, force: bool
) -> None:
    """ConflictError if a feed's list would drop far more of the address space than it did."""
    if force:
        return
    for family, keys in entries.items():
        now, was = FAMILIES[family].share(keys), FAMILIES[family].share(before[family])
        most = min(_SPACE_MAX, _GROWTH * was + _SPACE_FREE) if standing else _SPACE_MAX
        if now > most:
            stands = f"; the one that stands drops {was:.2%}, and stays" if standing else ""
            raise ConflictError(
                f"the new list drops {now:.2%} of IPv{family}{stands}",
                "entries",
                "look at it, and give force (--force) if it is meant",
            )


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"
