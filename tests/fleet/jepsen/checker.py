# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks a history against a model of what a fleet promises.

`python -m tests.fleet.jepsen.checker FILE` prints what is wrong, and exits with 1 if anything is.

The model: each key is a register whose writes the engine orders. A write that the engine kept has
its revision, and the last of these is the register's value. A write whose answer is not known, or
that a node kept alone, may have come afterwards only if it did not end before that one began: what
is sent later gives way to what its node did not know of. Detectors write a register of their own
below it: a rule of a detector can stand only where no person's does.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fleet.jepsen.history import Asked, Ending, History, Outcome, load

HEAL_SECONDS = 10.0  # nodes that still differ after this time will not become equal by themselves


def check(history: History) -> list[str]:
    """The violated guarantees; empty if there are none."""
    return [
        *_same(history.endings),
        *_kept(history),
        *_detectors(history),
        *(f"{one.node}: the audit log: {one.audit}" for one in history.endings if one.audit),
        *(f"{one.node}: {one.unsent} changes were never sent" for one in history.endings
          if one.unsent),
        *(f"{node}: {count} packets of a blocked source passed"
          for node, count in history.leaked.items() if count),
        *_healed(history),
    ]  # fmt: skip


def _healed(history: History) -> Iterator[str]:
    if history.healed_seconds > HEAL_SECONDS:
        yield f"the nodes were the same only after {history.healed_seconds:.1f} s"


def _same(endings: Sequence[Ending]) -> Iterator[str]:
    """Check that all nodes have the same rules."""
    for one in endings[1:]:
        first = endings[0]
        for key in sorted(first.rules.keys() | one.rules.keys()):
            mine, theirs = first.rules.get(key, "nothing"), one.rules.get(key, "nothing")
            if mine != theirs:
                yield f"{key}: {first.node} has {mine}, and {one.node} has {theirs}"


def _kept(history: History) -> Iterator[str]:
    """Check that no stored write is lost and that no removed rule is back."""
    by_key: dict[str, list[Asked]] = defaultdict(list)
    for asked in history.asked:
        if asked.person and asked.outcome is not Outcome.REFUSED:
            by_key[asked.key].append(asked)
    for ending in history.endings:
        for key, writes in by_key.items():
            standing = ending.rules.get(key, "")
            value = standing.split()[0] if standing.endswith("operator") else ""
            if value not in _possible(writes):
                yield f"{ending.node}: {key} is {value or 'nothing'}: {_why(writes)}"


def _possible(writes: Sequence[Asked]) -> set[str]:
    """The values that a register may have at the end."""
    known = [each for each in writes if each.outcome is Outcome.ENGINE]
    if not known:
        return {"", *(each.value for each in writes)}
    last = max(known, key=lambda each: each.revision)
    unsure = (each for each in writes if each.outcome in (Outcome.UNKNOWN, Outcome.NODE))
    return {last.value, *(each.value for each in unsure if each.ended >= last.began)}


def _why(writes: Sequence[Asked]) -> str:
    known = [each for each in writes if each.outcome is Outcome.ENGINE]
    if not known:
        return "nobody asked for that"
    last = max(known, key=lambda each: each.revision)
    what = f"{last.value} was" if last.value else "its removal was"
    return f"{what} kept at revision {last.revision}, by {last.node}"


def _detectors(history: History) -> Iterator[str]:
    """Check that a detector's rule stands only where there is no person's rule."""
    for ending in history.endings:
        for key, standing in ending.rules.items():
            if standing.endswith("operator"):
                continue
            person = [each for each in history.asked if each.person and each.key == key]
            possible = _possible([e for e in person if e.outcome is not Outcome.REFUSED])
            if person and "" not in possible:
                yield f"{ending.node}: {key} is a detector's, and a person asked for {possible}"
            if not any(each.key == key and not each.person for each in history.asked):
                yield f"{ending.node}: {key} is {standing}, and no detector reported it"


def main() -> None:
    problems = check(load(Path(sys.argv[1])))
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
