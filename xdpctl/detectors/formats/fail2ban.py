# SPDX-License-Identifier: GPL-2.0-or-later
"""fail2ban, through our action file: `ban|unban JAIL ADDRESS BANTIME`, or `flush JAIL`."""

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors import checked
from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase, plain

_FOREVER = -1


def read(body: bytes) -> list[Event]:
    """One event; RuleError if the arguments are not those of the action file."""
    argv, _ = checked.command(body)
    verb, count = argv[0], len(argv)
    if verb == "flush" and count == 2:
        return [Event(phase=Phase.ENDED, id="", group=argv[1])]
    if verb not in ("ban", "unban") or count != 4:
        raise RuleError(
            f"argv is {plain(argv)[:80]}",
            "argv",
            "call it as the action file does: ban|unban JAIL ADDRESS BANTIME, or flush JAIL",
        )
    source = parse_prefix(argv[2], "argv[2]")
    return [
        Event(
            phase=Phase.BEGAN if verb == "ban" else Phase.ENDED,
            id=f"{argv[1]} {source}",
            sources=(source,),
            ttl=_ttl(argv[3]) if verb == "ban" else None,
            group=argv[1],
            note=plain(f"jail {argv[1]}"),
        )
    ]


def _ttl(text: str) -> float | None:
    """The ban time in seconds; None for -1, which is a permanent ban. RuleError if not valid."""
    try:
        ttl = float(text)
    except ValueError:
        ttl = 0.0
    if ttl == _FOREVER:
        return None
    if not 0 < ttl < 1e9:
        raise RuleError(f"bantime is {plain(text)[:40]!r}", "argv[3]", "write seconds, or -1")
    return ttl
