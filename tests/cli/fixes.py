# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages that name a fix, and the command that follows each fix."""

from typing import NamedTuple


class Fix(NamedTuple):
    """What a command says, and what a person does about it.

    `says` is a pattern. Its group is a command, or the option or text that goes into `instead`,
    where `{}` stands for it. Without `instead`, a command is run as it is, and an option is added
    to the first command. `again`: then the first command succeeds, too.
    """

    command: str
    says: str
    before: tuple[str, ...] = ()
    instead: str = ""
    again: bool = False
    code: int = 0


_DROP = ("xdpctl block 203.0.113.7",)
_WIDE = ("xdpctl block 28.0.0.0/7 --monitor",)
_SET = ("xdpctl set put feed drop.txt",)
_TICKET = "fix: .*?(xdpctl unblock [^ ;]+)"
RULES = [
    Fix("xdpctl allow 203.0.113.7", "(--replace)", _DROP),
    Fix("xdpctl allow 203.0.113.7", r"first: (xdpctl unblock \S+)", _DROP, again=True),
    Fix("xdpctl block 203.0.113.7 --monitor", "(--replace)", _DROP),
    Fix(
        "xdpctl block 203.0.113.7 --monitor",
        r"rule: (xdpctl edit \S+)",
        _DROP,
        instead="{} --mode monitor",
        again=True,
    ),
    Fix("xdpctl block 28.0.0.0/7", "(--confirm-within 60s)"),
    Fix("xdpctl block 28.0.0.0/7", "(--force)"),
    Fix("xdpctl mode 28.0.0.0/7 enforce", "fix: give (--force)", _WIDE),
    Fix("xdpctl edit 28.0.0.0/7 --mode enforce", "fix: give (--force)", _WIDE),
    Fix(
        "xdpctl expect add bell --up-to 5x",
        r"first: (xdpctl expect remove \S+)",
        ("xdpctl expect add bell --up-to 3x",),
        again=True,
    ),
    Fix("xdpctl unblock --all", "(--yes)", _DROP),
    Fix("xdpctl why 203.0.113.7/32", "with (xdpctl allow .*)", ("xdpctl block 203.0.113.0/24",)),
    Fix("xdpctl block 192.0.2.1", "(--monitor)"),
    Fix("xdpctl release 203.0.113.7 --for 1h", _TICKET, _DROP, again=True),
    Fix("xdpctl release 203.0.113.7 --for 1h", "(xdpctl edit .*)", _DROP),
    Fix(
        "xdpctl release 203.0.113.7 --for 1h",
        "(xdpctl edit .*)",
        ("xdpctl allow 203.0.113.7",),
    ),
    Fix("xdpctl edit 203.0.113.7 --pps 1000", "(--action limit)", _DROP),
    Fix("xdpctl limit --match udp", "(--pps)", instead="xdpctl limit --match udp {} 100"),
    Fix("xdpctl limit --match udp", "(--bps)", instead="xdpctl limit --match udp {} 100M"),
    Fix(
        "xdpctl block 203.0.113.7 --observe 0.1s",
        "(--max-collateral 0%)",
        code=5,  # nothing came
    ),
    Fix("xdpctl block 192.0.2.0/24", "as long: (xdpctl allow .*)", again=True),
    Fix(
        "xdpctl block 203.0.113.7 --confirm-within 1d",
        "at most 3,(600) seconds",
        instead="xdpctl block 203.0.113.7 --confirm-within 3{}",
    ),
]
WORDS = [
    Fix("xdpctl block 203.0.113.7:443", "write (.*?);", instead="xdpctl block {}"),
    Fix("xdpctl block 203.0.113.7:443", "(xdpctl block --match .*)"),
    Fix("xdpctl block [2001:db8::7]", "write (.*?) without", instead="xdpctl block {}"),
    Fix("xdpctl block [2001:db8::7]:443", "(xdpctl block --match .*)"),
    Fix("xdpctl block http://203.0.113.7/x", "write (.*)", instead="xdpctl block {}"),
    Fix("xdpctl block 203.0.113.7/24", "write (.*?) for", instead="xdpctl block {}"),
    Fix("xdpctl block 203.0.113.7/24", "network or (.*?) for", instead="xdpctl block {}"),
    Fix("xdpctl block 203.0.113.8-203.0.113.15", "es: (.*)", instead="xdpctl block {}"),
    Fix("xdpctl block nowhere", "example (.*?) or", instead="xdpctl block {}"),
    Fix(
        "xdpctl block 203.0.113.7 --ttl soon", "(15m),", instead="xdpctl block 203.0.113.7 --ttl {}"
    ),
    Fix(
        'xdpctl block --match "udp scr-port 53"',
        r"mean (\S+)\?",
        instead='xdpctl block --match "udp {} 53"',
    ),
    Fix(
        'xdpctl block --match "udp dst-port 99999"',
        r"0 to (\d+)",
        instead='xdpctl block --match "udp dst-port {}"',
    ),
    Fix(
        "xdpctl capture --seconds 0.1 --every 3",
        "(1),048,576",
        instead="xdpctl capture --seconds 0.1 --every {}",
    ),
    Fix("xdpctl automatic maybe", "write off, (observe)", instead="xdpctl automatic {}"),
    Fix("xdpctl list --action deny", "one of '(drop)'", instead="xdpctl list --action {}"),
    Fix("xdpctl blok 203.0.113.7", "mean '(block)'", instead="xdpctl {} 203.0.113.7"),
    Fix("xdpctl block 203.0.113.7 --tll 1h", "(--ttl)", instead="xdpctl block 203.0.113.7 {} 1h"),
    Fix("xdpctl hook nobody --each-line", "are (.*?),", instead="xdpctl automatic"),
    Fix("xdpctl why", "`(xdpctl .*)`"),
    Fix("xdpctl block", "`(xdpctl .*)`"),
    Fix("xdpctl block", "(--match)", instead="xdpctl block {} udp"),
    Fix("xdpctl set put feed nothing.txt", "`(xdpctl .*)`"),
    Fix("xdpctl --nothing", "`(xdpctl .*)`"),
    Fix("xdpctl undo", r"\((xdpctl .*)\)"),
    Fix("xdpctl undo 99999", "see (xdpctl .*)"),
    Fix("xdpctl confirm 203.0.113.9", "see (xdpctl .*)"),
    Fix("xdpctl token revoke nobody", "see (xdpctl .*)"),
    Fix("xdpctl incident show 1", "see (xdpctl .*)"),
    Fix("xdpctl incident close 1", "see (xdpctl .*)"),
]
OTHERS = [
    Fix(
        "xdpctl token create a --role admin",
        "(xdpctl token revoke .*)",
        ("xdpctl token create a --role admin",),
        again=True,
    ),
    Fix("xdpctl set put feed small.txt", "(--force)", _SET),
    Fix("xdpctl set put feed drop.txt --action accept", "(--force)", _SET),
    Fix("xdpctl set put feed private.txt", "(--allow-private)"),
    Fix("xdpctl set put feed https://example.org/a", "(--url)", instead="xdpctl set put --help"),
    Fix(
        "xdpctl incident open 198.51.100.7",
        "(xdpctl incident close .*)",
        ("xdpctl incident open 198.51.100.7",),
        again=True,
    ),
]
