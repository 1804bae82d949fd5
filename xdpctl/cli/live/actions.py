# SPDX-License-Identifier: GPL-2.0-or-later
"""What the keys of the live view do to the box, and to the selected row."""

from collections.abc import Callable
from typing import Any

from xdpctl.base.text import printable
from xdpctl.cli import words
from xdpctl.cli.live import looks
from xdpctl.cli.live.dialogs import Details, Question
from xdpctl.cli.live.doing import Doing
from xdpctl.cli.live.looks import TABS
from xdpctl.cli.live.tables import ApiClient, Line
from xdpctl.client import path
from xdpctl.errors import RuleError
from xdpctl.model.rate import read_amount

_KEYS = (
    ("Enter", "do what is proposed for the row (tab Unusual), enforce a rule that only counts"),
    ("b", "drop the packets that the row's match takes, at first for a trial"),
    ("l", "limit them to a number of packets a second"),
    ("h", "challenge their SYNs: who exists gets in"),
    ("c", "keep the rule that was added last"),
    ("r", "let the source of the row pass (tab From)"),
    ("a", "say that the incident of the row was legitimate (tab Incidents)"),
    ("w", "show all fields of the row"),
    ("/", "look only at packets of a match"),
    ("v", "show all packets, only passed ones, or only dropped ones"),
    ("s", "order by packets or by bits"),
    ("o", "switch automatic off: detectors add no rules; or on again"),
    ("B", "bypass: let everything pass, or filter again"),
    ("q", "end this view; rules stay"),
)
_TRIAL, _FOREVER = "60s", "forever"
_ENFORCE = "enforce"
_RELEASE = "1h"
_PPS = 1_000.0  # of a limit, if none is proposed


def _allowed(answer: Any) -> str:
    return "; ".join(line.strip() for line in words.allowed(answer))


class Acting(Doing):
    """The actions of keys. Each calls the control plane in a thread, and shows what was done."""

    def __init__(self, client: ApiClient) -> None:
        super().__init__(client)
        self._last_rule = ""  # id of the provisional rule that this view added last

    def _added(self, rule: Any) -> str:
        self._last_rule = rule["id"] if rule["confirm_in"] is not None else ""
        return looks.done(rule)

    def _with_match(self) -> Line | None:
        line = self.selected()
        if line is None or not line.match:
            self.say("this row has no match: choose a destination, a source or a port")
            return None
        return line

    def action_block(self) -> None:
        """Drop the packets of the row."""
        self._try("Drop all packets that match", looks.block)

    def action_challenge(self) -> None:
        """Challenge the SYNs of the row."""
        self._try("Challenge SYNs that match", looks.challenge)

    def _try(self, what: str, request: Callable[[Line, str | None], dict[str, Any]]) -> None:
        """Ask for how long, and add the rule of the row."""
        line = self._with_match()
        if line is None:
            return
        lines = [
            f"{what}: {printable(line.match)}",
            *([f"It takes {line.takes}."] if line.takes else []),
            f"It ends after {_TRIAL} unless you confirm it. Type {_FOREVER} for no trial.",
        ]

        def take(trial: str | None) -> None:
            if trial:
                body = request(line, None if trial == _FOREVER else trial)
                self.do("POST", "/v1/rules", self._added, json=body)
            elif trial is not None:
                self.say("nothing was changed: no time was given")

        self.push_screen(Question(lines, _TRIAL), take)

    def action_proposed(self) -> None:
        """Do what is proposed for the row."""
        line = self.selected()
        if line is None or not line.action:
            self.action_why()
            return
        if line.rule:
            self._enforce(line)
            return
        ways = {
            "drop": self.action_block,
            "challenge": self.action_challenge,
            "limit": self.action_limit,
        }
        ways.get(line.action, self.action_why)()

    def _enforce(self, line: Line) -> None:
        """Ask, and enforce the rule of the row, which only counts so far."""
        takes = f"It takes {line.takes}." if line.takes else ""
        lines = [f"Enforce it: {line.action} {printable(line.match)}", takes, "Press Enter."]
        body = {"mode": "enforce"} | ({"action": "drop"} if line.action == "drop" else {})

        def take(typed: str | None) -> None:
            if typed == _ENFORCE:
                self.do("PATCH", path("rules", line.rule), looks.done, json=body)
            elif typed is not None:
                self.say(f"nothing was changed: {_ENFORCE} was not typed")

        self.push_screen(Question([text for text in lines if text], _ENFORCE), take)

    def action_limit(self) -> None:
        """Limit the packets of the row."""
        if line := self._with_match():
            lines = [
                f"Limit packets that match: {printable(line.match)}",
                f"To how many packets a second? It ends after {_TRIAL} unless you confirm it.",
            ]

            def take(typed: str | None) -> None:
                if typed is None:
                    return
                try:
                    body = looks.limit(line, read_amount(typed, "pps"), _TRIAL)
                except RuleError:
                    self.say("nothing was changed: write a number, such as 1000 or 5k")
                else:
                    self.do("POST", "/v1/rules", self._added, json=body)

            self.push_screen(Question(lines, f"{line.pps or _PPS:g}"), take)

    def action_confirm(self) -> None:
        """Keep the rule that was added last."""
        if not self._last_rule:
            self.say("nothing waits for a confirmation here; see xdpctl list")
            return
        path = f"/v1/rules/{self._last_rule}/confirm"
        self.do("POST", path, self._confirmed)

    def _confirmed(self, rule: Any) -> str:
        self._last_rule = ""
        undo = f"; undo: xdpctl undo {rule['change']}" if rule.get("change") else ""
        return f"confirmed: {rule['text']}{undo}"

    def action_release(self) -> None:
        """Let a source pass for a while."""
        line = self.selected()
        if line is None or not line.address:
            self.say("choose a single source (tab From) to release it")
            return
        lines = [f"Let {line.address} pass, whatever detectors say. For how long?"]

        def take(ttl: str | None) -> None:
            if ttl:
                body = {"source": line.address, "ttl": ttl, "reason": "top"}
                sentence = f"released: {line.address} passes for {ttl}"
                self.do("POST", "/v1/releases", lambda _: sentence, json=body)

        self.push_screen(Question(lines, _RELEASE), take)

    def action_allow(self) -> None:
        """End the automatic rules of an incident, and expect as much traffic from now on."""
        line = self.selected()
        if line is None or not line.incident:
            self.say("choose an incident (tab Incidents) to say that it was legitimate")
            return
        identity, word = line.incident, "allow"
        lines = [
            f"The automatic rules of {identity} end, and as much is expected from now on.",
            f"Type {word} and Enter.",
        ]

        def take(typed: str | None) -> None:
            if typed == word:
                self.do("POST", f"/v1/incidents/{identity}/allow", _allowed)
            elif typed is not None:
                self.say(f"nothing was changed: {word} was not typed")

        self.push_screen(Question(lines), take)

    def action_why(self) -> None:
        """Show all fields of the row."""
        line = self.selected()
        if line is None or self.shown is None:
            return
        pairs = zip(self.shown.columns, line.cells, strict=True)
        self.push_screen(Details([f"{name.lstrip('>')}: {cell}" for name, cell in pairs]))

    def action_help(self) -> None:
        """Show all keys."""
        tabs = ", ".join(f"{(place + 1) % 10} {tab.name}" for place, tab in enumerate(TABS[:10]))
        keys = [f"{key}  {what}" for key, what in _KEYS]
        self.push_screen(Details([*keys, "", f"tabs: {tabs}"]))

    def action_automatic(self) -> None:
        """Let detectors add no more rules, or act again."""
        is_off = self.shown is not None and self.shown.detectors_off
        word, mode = ("on", None) if is_off else ("off", "off")
        what = "Detectors will act as configured." if is_off else "Detectors will add no rules."

        def take(typed: str | None) -> None:
            if typed == word:
                done = "as configured" if is_off else "off, and existing rules stay"
                self.do(
                    "PUT", "/v1/automatic", lambda _: f"automatic is {done}", json={"mode": mode}
                )
            elif typed is not None:
                self.say(f"nothing was changed: {word} was not typed")

        self.push_screen(Question([what, f"Press Enter to switch automatic {word}."], word), take)

    def action_bypass(self) -> None:
        """Let everything pass, or filter again."""
        on = self.shown is None or not self.shown.bypass
        word = "bypass" if on else "filter"
        what = "Everything will pass, the attack too." if on else "It will filter again."

        def take(typed: str | None) -> None:
            if typed == word:
                sentence = "everything passes" if on else "filtering"
                self.do("POST", "/v1/bypass", lambda _: sentence, json={"on": on})
            elif typed is not None:
                self.say(f"nothing was changed: {word} was not typed")

        self.push_screen(Question([what, f"Type {word} and Enter."]), take)
