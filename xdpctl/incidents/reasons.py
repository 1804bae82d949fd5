# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a detector asked for a rule, in sentences and bars. Pure.

`finding` is one of `findings` in the JSON of GET /v1/incidents/{id}.
"""

from collections.abc import Iterator
from typing import Any

from xdpctl.base.units import si3

_WORST = 3  # kinds with the most hits that are named


def title(finding: dict[str, Any], rules: dict[str, str]) -> str:
    """The text of the finding's rule; `rules` has the text of each rule by its id."""
    return rules.get(finding["rule"]) or str(finding["rule"])


def sentences(finding: dict[str, Any]) -> Iterator[str]:
    """The attack, the reasons for the rule, and what else the match hits."""
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
    for component in finding["deciding"]:
        known = component["before"] is not None
        normal = f", {component['before']:.1%} of normal {finding['kind']}" if known else ""
        what = f"{component['component'].replace('_', ' ')} {component['values']}"
        yield f"{what}: {component['now']:.1%} of the packets now{normal}"
    yield from _collateral(finding)
    for reason in finding["rejected"]:
        yield f"not dropped: {reason}"


def _collateral(finding: dict[str, Any]) -> Iterator[str]:
    if not finding["collateral"]:
        yield "no normal traffic is known, so what else it hits is not known"
        return
    own = [harm for harm in finding["collateral"] if harm["kind"] == finding["kind"]]
    if not own:
        yield f"no normal packet of {finding['kind']} is known"
    worst = [harm for harm in finding["collateral"] if harm["hits"]][:_WORST]
    for harm in (*worst, *(harm for harm in own if harm not in worst)):
        yield (
            f"it hits {harm['hits']} of {harm['samples']:,} packets of normal {harm['kind']}: at "
            f"most {harm['bound']:.2%}, with 95 % confidence"
        )
    clean = sum(not harm["hits"] for harm in finding["collateral"])
    yield f"it hits no packet of {clean} of {len(finding['collateral'])} kinds of normal traffic"


def bars(finding: dict[str, Any]) -> list[tuple[str, float, float]]:
    """For each value its label, its share of the packets now, and of normal traffic."""
    picture = finding["picture"]
    if not picture:
        return []
    return list(zip(picture["labels"], picture["now"], picture["before"], strict=True))


def asked(incident: dict[str, Any]) -> dict[str, str]:
    """The text of each rule by its id."""
    return {rule["id"]: f"{rule['action']} {rule['what']}" for rule in incident["rules"]}
