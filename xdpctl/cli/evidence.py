# SPDX-License-Identifier: GPL-2.0-or-later
"""What leaves the box about an incident: reports, archives, and whether one is unchanged."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from xdpctl.cli import completion, options, output
from xdpctl.client import path
from xdpctl.errors import EvidenceError
from xdpctl.incidents import board, drafts
from xdpctl.incidents import report as whole

Identity = Annotated[
    str,
    typer.Argument(
        help="Id of the incident, as `incidents` lists it.", autocompletion=completion.incidents
    ),
]


class Reader(StrEnum):
    """For whom a report is."""

    ALL = "all"
    BOARD = "board"
    PROVIDER = "provider"


class Part(StrEnum):
    """A part of what is known of an incident, as the API names it."""

    PACKETS = "packets"
    SAID = "said"


def report(
    context: typer.Context,
    identity: Identity,
    reader: Annotated[
        Reader,
        typer.Option(
            "--for",
            help="all: every fact. board: two pages in plain words. provider: what its NOC is to "
            "filter, or to look for afterwards.",
        ),
    ] = Reader.ALL,
) -> None:
    """Print the report of an incident: as Markdown, or for a provider as a letter.

    Example: xdpctl incident report latest --for board
    """
    call = options.client(context).call
    incident = call("GET", path("incidents", identity))
    if reader is Reader.PROVIDER and incident["open"] and call("GET", "/v1/upstream")["uplinks"]:
        text = call("GET", path("upstream", "letters", incident["id"]))["text"]
    elif reader is Reader.PROVIDER:
        text = drafts.to_provider(incident)
    else:
        text = (board if reader is Reader.BOARD else whole).markdown(incident)
    typer.echo(text)


def export(
    context: typer.Context,
    identity: Identity,
    only: Annotated[
        Part | None,
        typer.Option(
            help="packets: sampled packets (pcapng) that its rules dropped or, if they dropped "
            "none, those to the victim. said: what detectors reported, verbatim (NDJSON).",
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "-w", "--write", help="File to write; - for standard output; default: by the id."
        ),
    ] = None,
) -> None:
    """Export a signed archive: report, records, packets, sources, draft messages; or one of these.

    Example: xdpctl incident export 20261126-081914 -w evidence.zip
    """
    data = options.client(context).raw(path("incidents", identity, only or "export"))
    suffix = {None: ".zip", Part.PACKETS: ".pcapng", Part.SAID: ".ndjson"}[only]
    target = write or Path(f"incident-{identity}{suffix}")
    if str(target) == "-":
        typer.echo(data, nl=False)
        return
    save(target, data)
    if only is not None:
        output.err.print(escape(f"wrote {target}, {len(data):,} bytes"))
        return
    from xdpctl.incidents.archive import verify_archive  # imported late: it loads cryptography

    manifest = verify_archive(target)
    output.err.print(
        escape(f"{len(manifest.files)} files in {target}, signed by {manifest.fingerprint}")
    )


def verify(
    context: typer.Context,
    archive: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ARCHIVE]",
            help="Archive that `incident export` wrote; default: show the key of this box.",
        ),
    ] = None,
    signer: Annotated[
        str | None, typer.Option("--key", help="Fingerprint of the key that must have signed it.")
    ] = None,
) -> None:
    """Verify an archive and its signature; works without the control plane.

    Exits with 6 without --key, because anybody can make and sign an archive. Without an archive:
    the fingerprint of the key that signs archives on this box.

    Example: xdpctl incident verify evidence.zip --key 3f9a…
    """
    if archive is None:
        typer.echo(options.client(context).call("GET", path("incidents", "key"))["fingerprint"])
        return
    from xdpctl.incidents.archive import verify_archive  # imported late: it loads cryptography

    manifest = verify_archive(archive)
    if signer is not None and signer != manifest.fingerprint:
        raise EvidenceError(f"{archive} is signed by {manifest.fingerprint}, not by the given key")
    files = output.plural(len(manifest.files), "file", "files")
    output.out.print(
        escape(f"incident {manifest.incident}: {files}, unchanged since {manifest.made_at}")
    )
    output.out.print(escape(f"signed by {manifest.fingerprint}"), soft_wrap=True)
    if signer is None:
        output.err.print(
            "the signer was not checked: give --key with the fingerprint that `xdpctl incident "
            "verify` prints on the box that made the archive"
        )
        raise typer.Exit(6)


def save(target: Path, data: bytes) -> None:
    """Write a file; BadParameter if that fails."""
    try:
        target.write_bytes(data)
    except OSError as error:
        raise typer.BadParameter(f"{target}: {error.strerror}") from None
