"""Commands about rules."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from xdpctl.cli import options, show
from xdpctl.cli.client import Client, chunks
from xdpctl.model import rule_id
from xdpctl.prefix import parse_prefix

app = typer.Typer()
_NDJSON = "application/x-ndjson"
_SUFFIXES = {".csv": "text/csv", ".ndjson": _NDJSON, ".jsonl": _NDJSON}
Monitor = Annotated[bool, typer.Option("--monitor", help="Only count what it would hit.")]
ConfirmWithin = Annotated[
    str | None,
    typer.Option("--confirm-within", help="Undo it by itself unless confirmed in this time."),
]


class FileFormat(StrEnum):
    PLAIN = "plain"
    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def media_type(self) -> str:
        return _SUFFIXES.get(f".{self.value}", "text/plain")


def _path(source: str) -> str:
    return f"/v1/rules/{rule_id(parse_prefix(source.replace('_', '/')))}"


def _add(client: Client, body: dict[str, Any], as_json: bool) -> None:
    given = {key: value for key, value in body.items() if value not in (None, "", [])}
    rule = client.call("POST", "/v1/rules", json=given)
    if as_json:
        return show.emit(rule)
    verb = "added" if rule["created"] else "extended"
    act, where = show.coloured(rule["action"]), rule["match"]["source"]
    mode = " (monitor: counts only)" if rule["mode"] == "monitor" else ""
    show.out.print(f"{verb}: {act} {where}{mode}, ends {show.ends(rule)}; the kernel has it")
    if rule["confirm_in"] is not None:
        show.out.print(f"  confirm it with: xdpctl confirm {where}")
    for warning in rule["warnings"]:
        show.err.print(f"[yellow]note:[/yellow] {escape(warning)}")


@app.command()
def block(
    context: typer.Context,
    source: options.Source,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    monitor: Monitor = False,
    confirm_within: ConfirmWithin = None,
    as_json: options.Json = False,
) -> None:
    """Drop everything from a source, from the next packet on."""
    body = {
        "match": {"source": source},
        "action": "drop",
        "mode": "monitor" if monitor else "enforce",
        "ttl": ttl,
        "reason": reason,
        "tags": tag,
        "confirm_within": confirm_within,
    }
    _add(options.client(context), body, as_json)


@app.command()
def allow(
    context: typer.Context,
    source: options.Source,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    as_json: options.Json = False,
) -> None:
    """Let a source pass, also inside a wider block."""
    body = {"match": {"source": source}, "action": "accept", "ttl": ttl, "reason": reason}
    _add(options.client(context), {**body, "tags": tag}, as_json)


@app.command()
def unblock(context: typer.Context, source: options.Source, as_json: options.Json = False) -> None:
    """Remove the rule on exactly this source, whatever its action."""
    rule = options.client(context).call("DELETE", _path(source))
    if as_json:
        return show.emit(rule)
    hits = f"{show.si(rule['packets'])} packets"
    show.out.print(f"removed: {rule['action']} {rule['match']['source']}; it had hit {hits}")


@app.command("list")
def list_rules(
    context: typer.Context,
    action: Annotated[str | None, typer.Option(help="drop or accept")] = None,
    mode: Annotated[str | None, typer.Option(help="enforce or monitor")] = None,
    origin: Annotated[str | None, typer.Option(help="Who asked for it.")] = None,
    tag: Annotated[str | None, typer.Option(help="With this tag.")] = None,
    within: Annotated[str | None, typer.Option(help="Inside this prefix.")] = None,
    covering: Annotated[str | None, typer.Option(help="Around this address or prefix.")] = None,
    as_json: options.Json = False,
) -> None:
    """The standing rules with their hits."""
    filters = {"action": action, "mode": mode, "origin": origin, "tag": tag}
    found = options.client(context).pages(**filters, within=within, covering=covering)
    if as_json:
        return show.emit(list(found))
    if not show.rules_table(found):
        show.out.print("no rules")


@app.command("show")
def show_rule(
    context: typer.Context, source: options.Source, as_json: options.Json = False
) -> None:
    """One rule, whole."""
    rule = options.client(context).call("GET", _path(source))
    show.emit(rule) if as_json else show.rule_details(rule)


@app.command()
def mode(
    context: typer.Context,
    source: options.Source,
    mode: options.Mode,
    as_json: options.Json = False,
) -> None:
    """Let the rule on exactly this source decide, or only count."""
    rule = options.client(context).call("PATCH", _path(source), json={"mode": mode.value})
    if as_json:
        return show.emit(rule)
    show.out.print(f"{rule['action']} {rule['match']['source']}: {rule['mode']}")


@app.command()
def confirm(context: typer.Context, source: options.Source, as_json: options.Json = False) -> None:
    """Let a provisional rule (--confirm-within) stand."""
    rule = options.client(context).call("POST", _path(source) + "/confirm")
    if as_json:
        return show.emit(rule)
    show.out.print(f"confirmed: {rule['match']['source']} stands, ends {show.ends(rule)}")


@app.command()
def explain(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The packet's source address.")],
    destination: Annotated[str | None, typer.Option("--to", help="Its destination.")] = None,
    protocol: Annotated[str, typer.Option(help="udp, tcp, icmp, ... or a number.")] = "udp",
    source_port: Annotated[int, typer.Option(help="Its source port.")] = 40000,
    destination_port: Annotated[int, typer.Option("--port", help="Its destination port.")] = 443,
    as_json: options.Json = False,
) -> None:
    """What the loaded program does with a packet, and which rule decides."""
    query: dict[str, Any] = {
        "source": source,
        "protocol": protocol,
        "source_port": source_port,
        "destination_port": destination_port,
    }
    if destination:
        query["destination"] = destination
    said = options.client(context).call("GET", "/v1/explain", params=query)
    if as_json:
        return show.emit(said)
    why = "" if said["rule"] or said["set"] else f", {said['reason'].replace('_', ' ')}"
    show.out.print(f"{source}: {show.coloured(said['verdict'])}{why}")
    if said["rule"]:
        show.rule_details(said["rule"])
    if said["set"]:
        show.out.print(f"by the set {said['set']}")
    if said["protected_by"]:
        show.out.print(f"{said['protected_by']['prefix']}: {said['protected_by']['why']}")
    for rule in said["monitored"]:
        where = rule["match"]["source"]
        show.out.print(f"in monitor mode on the way: {rule['action']} {where}")
    for name in said["monitored_sets"]:
        show.out.print(f"in monitor mode on the way: the set {name}")


@app.command("import")
def import_rules(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="One prefix a line, CSV, or NDJSON; - is stdin.")],
    kind: Annotated[FileFormat | None, typer.Option("--format", help="Else by its suffix.")] = None,
    action: Annotated[str, typer.Option(help="For lines that name none.")] = "drop",
    monitor: Monitor = False,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen.")] = False,
    as_json: options.Json = False,
) -> None:
    """Add many rules; bad lines are reported, all others applied."""
    path = Path("/dev/stdin") if str(file) == "-" else file
    if not path.exists() or path.is_dir():
        raise typer.BadParameter(f"there is no file {file}")
    media = kind.media_type if kind else _SUFFIXES.get(file.suffix, "text/plain")
    query = {"action": action, "reason": reason, "dry_run": dry_run, "ttl": ttl, "tag": tag}
    query["mode"] = "monitor" if monitor else "enforce"
    given = {k: v for k, v in query.items() if v not in (None, "", False)}
    bar = Progress("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar.disable = not sys.stderr.isatty() or as_json
    with bar:
        size = path.stat().st_size if path.is_file() else None
        task = bar.add_task(f"importing {file}", total=size)
        result = options.client(context).call(
            *("POST", "/v1/rules/bulk"),
            params=given,
            headers={"content-type": media},
            content=chunks(path, lambda n: bar.advance(task, n)),
        )
    _imported(result, as_json)


def _imported(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show.emit(result)
    else:
        would = "would be " if result["dry_run"] else ""
        show.out.print(
            f"{result['added']} {would}added, {result['extended']} {would}extended, "
            f"{result['rejected']} rejected"
        )
        for reject in result["rejects"][:20]:
            show.err.print(f"line {reject['line']}: {reject['error']}", markup=False)
        hidden = result["rejected"] - min(20, len(result["rejects"]))
        if hidden > 0:
            show.err.print(f"and {hidden} more; --json shows them")
    if result["rejected"]:
        raise typer.Exit(1)


@app.command()
def export(
    context: typer.Context,
    origin: Annotated[str | None, typer.Option(help="Only this origin's.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Only the sources, one a line.")] = False,
) -> None:
    """The rules as NDJSON that `import` takes, with their remaining time."""

    for rule in options.client(context).pages(origin=origin):
        if plain:
            print(rule["match"]["source"])
            continue
        kept = {key: rule[key] for key in ("match", "action", "mode", "reason", "tags")}
        if rule["expires_in"] is not None:
            kept["ttl"] = round(rule["expires_in"], 3)
        if rule["confirm_in"] is not None:
            kept["confirm_within"] = round(rule["confirm_in"], 3)
        print(json.dumps(kept))
    sys.stdout.flush()
