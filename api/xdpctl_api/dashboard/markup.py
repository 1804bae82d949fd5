# SPDX-License-Identifier: GPL-2.0-or-later
"""Renders templates with their filters and security headers, and lists a caller's pages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si3, wait
from xdpctl.model.event import attacks_in_words
from xdpctl.model.identity import Caller, Role

# A page loads only from this host, runs no inline script, and no site may show it in a frame.
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
PAGES = (
    ("/", "Now"),
    ("/incidents", "Incidents"),
    ("/rules", "Rules"),
    ("/why", "Why"),
    ("/system", "System"),
)
FLEET, UPSTREAM = ("/fleet", "Fleet"), ("/upstream", "Upstream")  # not on every box


def rendered(
    request: Request, template: str, http_status: int = 200, **values: Any
) -> HTMLResponse:
    """A page, with security headers against content and requests of other sites."""
    text = _environment().get_template(template).render(here=request.url.path, **values)
    return HTMLResponse(text, http_status, {**HEADERS, "Cache-Control": "no-store"})


def pages(who: Caller, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The pages that a caller may see; `more` are pages that not every box has."""
    if not who.may(Role.VIEWER):
        return [page for page in PAGES if page[0] == "/why"]
    return [*PAGES, *more]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("xdpctl_api.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "si": si3,
        "wait": wait,
        "lasting": show_duration,
        "when": _when,
        "share": _share,
        "soonest": soonest,
        "ends": lambda seconds: "never" if seconds is None else show_duration(seconds),
        "figure": lambda value: "?" if value is None else si3(value),
        "does": _does,
        "whom": _whom,
        "kinds": attacks_in_words,
        "capital": lambda text: f"{text[:1].upper()}{text[1:]}",
        "segment": lambda text: quote(text, safe=":"),
    }
    return environment


def soonest(rule: Mapping[str, Any]) -> float | None:
    """The seconds until a rule ends if nobody confirms it; None if it never ends."""
    ends = [seconds for seconds in (rule["confirm_in"], rule["expires_in"]) if seconds is not None]
    return min(ends, default=None)


def _does(rule: Mapping[str, Any]) -> str:
    """The action of a rule, and whether it only counts."""
    return f"{rule['does']}, monitor" if rule["mode"] == "monitor" else str(rule["does"])


def _whom(rule: Mapping[str, Any]) -> str:
    """The people whom a rule hits, if that is measured."""
    return str(rule["collateral"]["text"]) if rule["collateral"] else "not measured"


def _when(at: str | float | None) -> str:
    """RFC 3339 text or Unix seconds as a time in UTC, which a script shows in local time.

    "never" for None.
    """
    if at is None:
        return "never"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    shown = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}Z">{} UTC</time>').format(shown.replace(" ", "T"), shown)


def _share(share: float | None) -> str:
    return "not known" if share is None else f"{share:.1%}"
