# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: an attack in a lab, one rule against it, and checks of everything that must follow."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice

from xdpctl.abi.constants import KEPT_OUT
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.client import Client
from xdpctl.errors import ConfigError
from xdpctl.incidents import reasons
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.lab.sniffer import Sniffer
from xdpctl.lab.stage import ATTACKER_NET, Stage, Timeline, aim, build, out, remains
from xdpctl.lab.webserver import Answer

ATTACKERS = [f"203.0.113.{n}" for n in range(1, 33)]
LATE_SOURCE = "198.18.0.9"
FLOOD_RATE, FLOOD_SECONDS = 400_000, 120  # upper limits; the demo stops the flood when it ends
TTL = 4.0
_LEAST_RATE = 50_000  # packets a second: enough for a flood, and even a busy machine can send them
_PATIENCE = 10.0
_SENTENCES = 3


def play() -> int:
    """Run the demo; return the exit status, 0 if every check passed."""
    if os.geteuid() != 0:
        raise ConfigError(
            "the demo creates network namespaces and loads BPF programs: run it as root"
        )
    line = Timeline()
    out.print("[bold]An attack and its mitigation[/bold], in separate network namespaces\n")
    with ExitStack() as cleanup:
        stage = build(line, cleanup)
        for act in (_calm, _held, _attack, _mitigate, _explain, _expire, _survive):
            act(stage)
        line.tell("cleaning up", "bold")
    leftovers = remains(stage)
    line.claim(not leftovers, f"left behind: {', '.join(leftovers) or 'nothing'}")
    if line.failed:
        out.print(f"\n[red]{len(line.failed)} checks failed[/red]")
        return 1
    out.print("\n[green]Every check passed.[/green]")
    return 0


def _service(answers: list[Answer]) -> str:
    good = sorted(a.seconds for a in answers if a.good)
    middle = f", {good[len(good) // 2] * 1000:.1f} ms" if good else ""
    return f"{len(good)} of {len(answers)} requests answered{middle}"


def _watch(stage: Stage, seconds: float, done: Callable[[], bool] = lambda: False) -> list[Answer]:
    """Print figures each second, until `done` or for `seconds`; return the last requests."""
    until, recent = time.monotonic() + seconds, []
    before = stage.stack.count()
    while time.monotonic() < until and not done():
        moment = time.monotonic()
        time.sleep(min(1.0, until - moment))
        now, recent = stage.stack.count(), stage.visitor.since(moment - 0.5)
        rate = (now - before) / (time.monotonic() - moment)
        before = now
        stage.line.tell(
            f"  attack packets in the stack {rate:>9,.0f}/s    client: {_service(recent)}"
        )
    return recent


def _fine(answers: list[Answer]) -> bool:
    return len(answers) >= 4 and all(answer.good for answer in answers)


def _calm(stage: Stage) -> None:
    stage.line.tell("a client reads the page over IPv4 and IPv6", "bold")
    stage.visitor.start()
    time.sleep(0.3)
    answers = _watch(stage, 2)
    stage.line.claim(_fine(answers), f"the client is served: {_service(answers)}")


def _held(stage: Stage) -> None:
    """The embedded detector stops a flood. Then the demo switches it off, and an operator acts."""
    line, client = stage.line, stage.box.client
    line.tell("SYN flood, and nobody does anything", "bold")
    aim(stage, stage.generator, ATTACKERS)
    began = time.monotonic()
    flood = stage.attacker.start(lambda: stage.generator.run(10**7, FLOOD_RATE, 6.0))
    while not _kept_out(client) and time.monotonic() - began < _PATIENCE:
        time.sleep(0.005)
    line.tell(f"  held {(time.monotonic() - began) * 1000:.0f} ms after the flood was started")
    time.sleep(0.5)
    before = stage.stack.count()
    answers = _watch(stage, 3)
    leaked = stage.stack.count() - before
    line.claim(leaked == 0, f"{leaked} attack packets reached the stack while it is held")
    line.claim(_fine(answers), f"the client is served: {_service(answers)}")
    stage.generator.stop.set()
    flood.result()
    stage.generator.stop.clear()
    (incident,) = client.call("GET", "/v1/incidents")["incidents"]
    line.tell(f"xdpctl why {incident['id']}", "bold")
    details = client.call("GET", f"/v1/incidents/{incident['id']}")
    for finding in details["findings"]:
        line.tell(f"  {reasons.title(finding, reasons.asked(details))}")
        for sentence in islice(reasons.sentences(finding), _SENTENCES):
            line.tell(f"    {sentence}")
    line.claim(bool(details["findings"]), "the incident says what the rule rests on")
    line.tell("xdpctl automatic off; xdpctl undo --since 1m: now the operator's part", "bold")
    client.call("PUT", "/v1/automatic", json={"mode": "off"})
    client.call("POST", "/v1/automatic/undo", json={"since": "1m"})


def _kept_out(client: Client) -> int:
    total = client.call("GET", "/v1/counters")["total"]
    return sum(total.get(reason.name.lower(), {}).get("packets", 0) for reason in KEPT_OUT)


def _attack(stage: Stage) -> None:
    stage.line.tell(f"SYN flood from {len(ATTACKERS)} sources in {ATTACKER_NET}", "bold")
    aim(stage, stage.generator, ATTACKERS)
    packets = FLOOD_RATE * FLOOD_SECONDS
    before, began = stage.stack.count(), time.monotonic()
    stage.flood = stage.attacker.start(
        lambda: stage.generator.run(packets, FLOOD_RATE, FLOOD_SECONDS)
    )
    answers = _watch(stage, 4)
    good = sum(answer.good for answer in answers)
    rate = (stage.stack.count() - before) / (time.monotonic() - began)
    stage.line.claim(rate > 0, f"{rate:,.0f} attack packets a second reach the stack")
    stage.line.claim(good < len(answers) / 2, f"the client is affected: {_service(answers)}")


def _mitigate(stage: Stage) -> None:
    stage.line.tell(f"POST /v1/rules: drop {ATTACKER_NET}", "bold")
    body = {"match": {"source": ATTACKER_NET}, "reason": "SYN flood, seen at 8:19"}
    began = time.monotonic()
    rule = stage.box.client.call("POST", "/v1/rules", json=body)
    milliseconds = (time.monotonic() - began) * 1000
    stage.line.claim(
        rule["in_kernel"],
        f"answered after {milliseconds:.1f} ms: slot {rule['slot']} in the kernel",
    )
    moment = time.monotonic()
    before = stage.stack.count()
    _watch(stage, 8, lambda: _fine(stage.visitor.since(time.monotonic() - 1.0)))
    recovered = stage.visitor.since(time.monotonic() - 1.0)
    leaked = stage.stack.count() - before
    dropped = stage.box.client.call("GET", f"/v1/rules/{rule['id']}")["packets"]
    rate = dropped / (time.monotonic() - moment)
    stage.line.claim(
        leaked == 0, f"dropped at once: {leaked} attack packets reached the stack since"
    )
    stage.line.claim(rate >= _LEAST_RATE, f"{rate:,.0f} packets a second dropped in XDP")
    seconds = time.monotonic() - began
    stage.line.claim(_fine(recovered), f"the client is served again after {seconds:.1f} s")


def _explain(stage: Stage) -> None:
    stage.line.tell(f"xdpctl why {ATTACKERS[6]}", "bold")
    answer = stage.box.cli("why", ATTACKERS[6], "--protocol", "tcp", "--port", "80")
    rule, verdict = answer["rule"] or {}, answer["verdict"]
    source = rule.get("match", {}).get("source")
    text = f"{verdict}: {source}, {rule.get('reason')!r}, requested by {rule.get('origin')}"
    stage.line.claim(verdict == "drop" and source == ATTACKER_NET, text)


def _expire(stage: Stage) -> None:
    stage.line.tell(f"a rule with a TTL of {TTL:g} s, and the control plane stopped", "bold")
    body = {"match": {"source": LATE_SOURCE}, "ttl": TTL}
    stage.box.client.call("POST", "/v1/rules", json=body)
    began = time.monotonic()
    os.kill(stage.box.control_plane(), signal.SIGSTOP)
    generator = Generator(compile_generator())
    aim(stage, generator, [LATE_SOURCE])
    with Sniffer(stage.server, "isp0", parse_prefix(LATE_SOURCE)) as late:
        late.count()
        second = stage.attacker.start(lambda: generator.run(10**6, 20_000, 8))
        time.sleep(max(0.0, TTL - 1 - (time.monotonic() - began)))
        before = late.count()
        while late.count() == before and time.monotonic() - began < TTL + 5:
            time.sleep(0.005)
        ended = time.monotonic() - began
        arrived = late.count() > before
        second.result()
    generator.close()
    os.kill(stage.box.control_plane(), signal.SIGCONT)
    stage.line.claim(
        before == 0, f"while the rule is in force, {before} of the packets reach the stack"
    )
    stage.line.claim(arrived, f"the rule expired in the kernel after {ended:.1f} s")


def _survive(stage: Stage) -> None:
    line = stage.line
    line.tell("kill -9 of every xdpctl process, under the flood", "bold")
    assert stage.flood is not None  # noqa: S101  # it was started before
    before, victims = stage.stack.count(), stage.box.processes()
    stage.box.kill()
    line.tell(f"  killed {len(victims)} processes; no xdpctl process is running")
    _watch(stage, 2)
    line.tell(f"  restarted: ready after {stage.box.start():.1f} s, pins adopted, program replaced")
    _watch(stage, 2)
    line.claim(not stage.flood.done(), "the flood continued throughout")
    leaked = stage.stack.count() - before
    rules = stage.box.client.call("GET", "/v1/rules")["rules"]
    intact = [rule["match"]["source"] for rule in rules] == [ATTACKER_NET]
    line.claim(leaked == 0, f"{leaked} packets of a blocklisted source reached the stack")
    line.claim(intact, "the rule is still there, and the expired rule is not")
    stage.generator.stop.set()
    sent = stage.flood.result()
    line.tell(f"  the flood ends: {sent.packets:,} packets in {sent.seconds:.0f} s")
