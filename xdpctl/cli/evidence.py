# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for evidence: the verbatim reports of detectors, and signed archives."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from xdpctl.cli import completion, options, output
from xdpctl.client import path
from xdpctl.errors import EvidenceError

Identity = Annotated[
    str,
    typer.Argument(
        help="Id of the incident, as `incidents` lists it.", autocompletion=completion.incidents
    ),
]


def said(context: typer.Context, identity: Identity) -> None:
    """Print what detectors reported, verbatim, as NDJSON.

    Example: xdpctl incident said 20261126-081914
    """
    data = options.client(context).raw(path("incidents", identity, "said"))
    typer.echo(data.decode(errors="replace"), nl=False)


def key(context: typer.Context) -> None:
    """Print the fingerprint of the key that signs archives on this box.

    Example: xdpctl incident key
    """
    typer.echo(options.client(context).call("GET", path("incidents", "key"))["fingerprint"])


def verify(
    archive: Annotated[Path, typer.Argument(help="Archive that `incident export` wrote.")],
    signer: Annotated[
        str | None, typer.Option("--key", help="Fingerprint of the key that must have signed it.")
    ] = None,
) -> None:
    """Verify an archive and its signature; works without the control plane.

    Exits with 6 without --key, because anybody can make and sign an archive.

    Example: xdpctl incident verify evidence.zip --key 3f9a…
    """
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
            "key` prints on the box that made the archive"
        )
        raise typer.Exit(6)


def save(target: Path, data: bytes) -> None:
    """Write a file; BadParameter if that fails."""
    try:
        target.write_bytes(data)
    except OSError as error:
        raise typer.BadParameter(f"{target}: {error.strerror}") from None
