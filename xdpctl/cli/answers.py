# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints what `xdpctl why` has found: about an address, a packet, a rule or an incident."""

from typing import Any

from rich.markup import escape

from xdpctl.base.net.packet_fields import fields
from xdpctl.cli import output
from xdpctl.cli.rules import statistics
from xdpctl.incidents import reasons
from xdpctl.model.match.ranking import components

_TOLD = 4  # destinations
_WIDTH = 30  # characters of a bar


def print_rule(rule: dict[str, Any]) -> None:
    output.rule_details(rule)
    statistics.details(rule)


def print_address(found: dict[str, Any]) -> None:
    output.out.print(escape(found["sentence"]), soft_wrap=True)
    for each in found["answers"] or ():
        by = f", by {_whose(each['rule'])}" if each["rule"] else ""
        by += f", by the set {each['set']}" if each["set"] else ""
        by += f", incident {each['incident']}" if each["incident"] else ""
        more = f" and {len(each['to']) - _TOLD} more" if len(each["to"]) > _TOLD else ""
        to = f"{', '.join(each['to'][:_TOLD])}{more}"
        verdict = output.coloured(each["verdict"])
        if not by and each["reason"] != "no_rule":
            verdict += f", {each['reason'].replace('_', ' ')}"
        services = ", ".join(each["services"])
        output.out.print(f"  {services} to {to}: {verdict}{escape(by)}", soft_wrap=True)
    for rule in found["could_hit"]:
        output.out.print(
            f"  other packets may meet {rule['action']} {escape(_whose(rule))}", soft_wrap=True
        )
    for said in found["sends"]:
        output.out.print(f"  {escape(said)}", soft_wrap=True)
    output.fields(_place(found))
    for entry in found["covering"]:
        output.out.print(f"  {_entry(entry)}")
    if not found["covering"]:
        output.out.print("  no rule on sources, set or protected prefix covers it")
    by_rules = [each["verdict"] for each in found["answers"] or () if each["rule"] or each["set"]]
    if "drop" in by_rules:
        output.out.print(f"to let it in: xdpctl release {found['address']} --for 1h")


def _whose(rule: dict[str, Any]) -> str:
    return f"{output.where(rule)} of {rule['origin']}, ends {output.ends(rule)}"


def _place(found: dict[str, Any]) -> dict[str, str]:
    if not found["database"]:
        return {"country": "no database: set geo_databases, or install libloc-database"}
    network = f"AS{found['asn']} {escape(found['as_name'] or '')}".rstrip()
    return {
        "country": found["country"] or "-",
        "network": found["network"] or "-",
        "AS": network if found["asn"] else "-",
    }


def _entry(entry: dict[str, Any]) -> str:
    """An entry that covers the address, as rich markup."""
    owner = f"protected: {escape(entry['protected'] or '')}"
    if entry["rule"] or entry["set"]:
        name = f"rule {entry['rule']}" if entry["rule"] else f"set {entry['set']}"
        out = " out" if entry["out"] else ""
        owner = f"{output.coloured(entry['action'])}{out}, {entry['mode']}, {name}"
    spared = "" if entry["applied"] else " (not applied: protected)"
    return f"{entry['prefix']:<20} {owner}{spared}"


def print_components(frame: bytes) -> None:
    """Print the packet's components in the words of --match."""
    if packet := fields(frame):
        values = " ".join(
            value if word == "proto" and not value.isdigit() else f"{word} {value}"
            for word, (value, _) in components(packet).items()
        )
        output.out.print(f"its match: {escape(values)}", soft_wrap=True)


def print_answer(subject: str, answer: dict[str, Any]) -> None:
    why = "" if answer["rule"] or answer["set"] else f", {answer['reason'].replace('_', ' ')}"
    output.out.print(f"{escape(subject)}: {output.coloured(answer['verdict'])}{why}")
    if answer["rule"]:
        output.rule_details(answer["rule"])
    if answer["set"]:
        output.out.print(f"decided by the set {answer['set']}")
    if answer["protected_by"]:
        output.out.print(f"{answer['protected_by']['prefix']}: {answer['protected_by']['why']}")
    for rule in answer["monitored"]:
        where = escape(output.where(rule))
        output.out.print(f"also matches, in monitor mode: {rule['action']} {where}")
    for rule in answer["within"]:
        where = f"{escape(output.where(rule))}, {output.rate(rule['limit'])}"
        output.out.print(f"within the limit {where} ({rule['id']})")
    for rule in answer["behind"]:
        output.out.print(
            f"also matches, but is evaluated later: {rule['action']} "
            f"{escape(output.where(rule))} ({rule['id']})"
        )
    for rule in answer["could_hit"]:
        output.out.print(
            f"may take other packets of that source: {rule['action']} {escape(output.where(rule))} "
            f"({rule['id']})"
        )
    for name in answer["monitored_sets"]:
        output.out.print(f"also matches, in monitor mode: the set {name}")


def print_incident(incident: dict[str, Any]) -> None:
    """Print why the embedded detector did what it did in an incident."""
    rules = reasons.asked(incident)
    for finding in incident["findings"]:
        output.out.print(escape(reasons.title(finding, rules)), style="bold", soft_wrap=True)
        for line in reasons.sentences(finding):
            output.out.print(f"  - {escape(line)}", soft_wrap=True)
        _bars(finding)
    if not incident["findings"]:
        told = f"no rule of {incident['id']} rests on what the embedded detector found"
        output.out.print(told, markup=False)


def _bars(finding: dict[str, Any]) -> None:
    """Print the distribution of the most telling component, now and before."""
    bars = reasons.bars(finding)
    if not bars:
        return
    name = finding["picture"]["component"].replace("_", " ")
    wide = max(len(name), *(len(label) for label, _, _ in bars))
    output.out.print(f"  {name:<{wide}}  {'in the packets now':<{_WIDTH + 7}}  in normal traffic")
    for label, now, before in bars:
        left, right = (f"{'#' * round(share * _WIDTH):<{_WIDTH}}" for share in (now, before))
        line = f"  {label:<{wide}}  {now:6.1%} {left}  {before:6.1%} {right}"
        output.out.print(escape(line.rstrip()), soft_wrap=True)
