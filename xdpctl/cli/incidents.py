# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for incidents: list them, show one, export a report."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si
from xdpctl.cli import options, output
from xdpctl.errors import EvidenceError
from xdpctl.incidents import report
from xdpctl.service.client import path

app = typer.Typer()
incident_app = typer.Typer(
    help="Show and export an incident; verify an archive.", no_args_is_help=True
)
app.add_typer(incident_app, name="incident")
_SENDERS = 10  # that are shown
Identity = Annotated[str, typer.Argument(help="Id of the incident, as `incidents` lists it.")]


@app.command()
def incidents(
    context: typer.Context,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only incidents that are open.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="List at most this many.")] = 100,
    as_json: options.Json = False,
) -> None:
    """List incidents, the newest first.

    Example: xdpctl incidents --open
    """
    query = {"limit": limit} | ({"open": "true"} if only_open else {})
    found = options.client(context).call("GET", "/v1/incidents", params=query)["incidents"]
    if as_json:
        return output.emit(found)
    columns = ("incident", "victim", "attack", "detectors", "lasted", ">peak pps", ">hit", "")
    if not output.table(columns, map(_row, found)):
        output.out.print("no incidents")


def _row(held: dict[str, Any]) -> tuple[str, ...]:
    ends = held["closed_at"] or held["updated_at"]
    return (
        held["id"],
        held["subject"],
        ", ".join(held["attacks"]),
        ", ".join(held["detectors"]),
        show_duration(ends - held["opened_at"]),
        si(held["peak_pps"]),
        si(held["packets"]),
        "open" if held["open"] else "",
    )


@incident_app.command("show")
def show_incident(
    context: typer.Context, identity: Identity, as_json: options.Json = False
) -> None:
    """Show one incident: what was reported, what was done, what it hit.

    Example: xdpctl incident show 2026-11-26-1
    """
    held = options.client(context).call("GET", path("incidents", identity))
    if as_json:
        return output.emit(held)
    output.fields({name: escape(value) for name, value in report.facts(held).items()})
    for at, line in report.timeline(held):
        output.out.print(f"{report.clock(at)}  {escape(line)}", soft_wrap=True)
    kept = held["evidence"]
    for one in kept["top_sources"][:_SENDERS]:
        told = f"from {one['address']:<40} {report.standing(one):<18} {report.place(one)}"
        output.out.print(escape(told), soft_wrap=True)


@incident_app.command("report")
def report_incident(context: typer.Context, identity: Identity) -> None:
    """Print the report as Markdown, for a provider's NOC or a board.

    Example: xdpctl incident report 2026-11-26-1
    """
    held = options.client(context).call("GET", path("incidents", identity))
    typer.echo(report.markdown(held))


@incident_app.command("export")
def export_incident(
    context: typer.Context,
    identity: Identity,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="File to write; default: incident-ID.zip in the current folder."
        ),
    ] = None,
) -> None:
    """Export a signed archive: report, records, packets, sources, draft messages.

    Example: xdpctl incident export 2026-11-26-1 -o evidence.zip
    """
    data = options.client(context).raw(path("incidents", identity, "export"))
    target = out or Path(f"incident-{identity}.zip")
    _keep(target, data)
    from xdpctl.incidents.archive import verify_archive  # it needs cryptography

    found = verify_archive(target)
    output.err.print(escape(f"{len(found.files)} files in {target}, signed by {found.fingerprint}"))


@incident_app.command("packets")
def packets(
    context: typer.Context,
    identity: Identity,
    write: Annotated[Path, typer.Option("-w", "--write", help="Write to this pcapng file.")],
) -> None:
    """Save sampled packets that the rules of the incident dropped.

    Example: xdpctl incident packets 2026-11-26-1 -w packets.pcapng
    """
    _keep(write, options.client(context).raw(path("incidents", identity, "packets")))


@incident_app.command("said")
def said(context: typer.Context, identity: Identity) -> None:
    """Print what detectors reported, verbatim, as NDJSON.

    Example: xdpctl incident said 2026-11-26-1
    """
    data = options.client(context).raw(path("incidents", identity, "said"))
    typer.echo(data.decode(errors="replace"), nl=False)


@incident_app.command("key")
def key(context: typer.Context) -> None:
    """Print the fingerprint of the key that signs archives on this box.

    Example: xdpctl incident key
    """
    typer.echo(options.client(context).call("GET", path("incidents", "key"))["fingerprint"])


@incident_app.command("verify")
def verify(
    archive: Annotated[Path, typer.Argument(help="Archive that `incident export` wrote.")],
    signer: Annotated[
        str | None, typer.Option("--key", help="Fingerprint of the key that must have signed it.")
    ] = None,
) -> None:
    """Verify an archive and its signature; works without the control plane.

    Exits with 6 without --key: anybody can make and sign an archive.

    Example: xdpctl incident verify evidence.zip --key 3f9a…
    """
    from xdpctl.incidents.archive import verify_archive  # it needs cryptography

    found = verify_archive(archive)
    if signer is not None and signer != found.fingerprint:
        raise EvidenceError(f"{archive} is signed by {found.fingerprint}, which is another")
    files = output.plural(len(found.files), "file", "files")
    output.out.print(escape(f"incident {found.incident}: {files}, as made {found.made_at}"))
    output.out.print(escape(f"signed by {found.fingerprint}"), soft_wrap=True)
    if signer is None:
        output.err.print(
            "the signer was not checked: give --key with what `xdpctl incident key` says on the "
            "box that made it"
        )
        raise typer.Exit(6)


def _keep(target: Path, data: bytes) -> None:
    try:
        target.write_bytes(data)
    except OSError as error:
        raise typer.BadParameter(f"{target}: {error.strerror}") from None
