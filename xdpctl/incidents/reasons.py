# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a detector asked for a rule, in sentences and bars. Pure.

`finding` is one of `findings` in the JSON of GET /v1/incidents/{id}.
"""

from collections.abc import Iterator
from typing import Any

from xdpctl.base.units import si3

_WORST = 3  # kinds of which it is said what a match hits


def title(finding: dict[str, Any], rules: dict[str, str]) -> str:
    """What was done; `rules` has the text of each rule by its id."""
    return rules.get(finding["rule"]) or str(finding["rule"])


def sentences(finding: dict[str, Any]) -> Iterator[str]:
    """What was seen, why it was answered so, and what else the match hits."""
    usual = f", the highest normal rate {si3(finding['usual'])}" if finding["usual"] else ""
    yield (
        f"{si3(finding['rate'])} packets/s of {finding['kind']} came; the threshold is "
        f"{si3(finding['threshold'])}{usual}"
    )
    yield (
        f"the match takes {finding['coverage']:.1%} of the {finding['heads']:,} packets that were "
        "looked at"
    )
    yield from finding["because"]
    for each in finding["deciding"]:
        known = each["before"] is not None
        normal = f", {each['before']:.1%} of normal {finding['kind']}" if known else ""
        what = f"{each['component'].replace('_', ' ')} {each['values']}"
        yield f"{what}: {each['now']:.1%} of the packets now{normal}"
    yield from _collateral(finding)
    for each in finding["rejected"]:
        yield f"not taken: {each}"


def _collateral(finding: dict[str, Any]) -> Iterator[str]:
    if not finding["collateral"]:
        yield "no normal traffic is known, so what else it hits is not known"
        return
    own = [each for each in finding["collateral"] if each["kind"] == finding["kind"]]
    if not own:
        yield f"no normal packet of {finding['kind']} is known"
    worst = [each for each in finding["collateral"] if each["hits"]][:_WORST]
    for each in (*worst, *(each for each in own if each not in worst)):
        yield (
            f"it hits {each['hits']} of {each['samples']:,} packets of normal {each['kind']}: at "
            f"most {each['bound']:.2%}, with 95 % confidence"
        )
    clean = sum(not each["hits"] for each in finding["collateral"])
    yield f"it hits no packet of {clean} of {len(finding['collateral'])} kinds of normal traffic"


def bars(finding: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Label, share of the packets now and of normal traffic, of each value; empty without any."""
    picture = finding["picture"]
    if not picture:
        return []
    return list(zip(picture["labels"], picture["now"], picture["before"], strict=True))


def asked(incident: dict[str, Any]) -> dict[str, str]:
    """The text of each rule by its id."""
    return {rule["id"]: f"{rule['action']} {rule['what']}" for rule in incident["rules"]}
