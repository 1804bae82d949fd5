# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands of modules: programs of one's own that a rule asks about each packet. For root."""

import os
import stat
from collections import Counter
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.units import si
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules.add import add as add_rule
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.errors import (
    ConfigError,
    ConflictError,
    DatapathError,
    NotFoundError,
    Refused,
    XdpctlError,
)
from xdpctl.model.effect import Spare
from xdpctl.model.match import module as names
from xdpctl.model.match import text

if TYPE_CHECKING:
    from xdpctl.client import Client
    from xdpctl.datapath.loader.module_files import ModuleFiles

app = typer.Typer(no_args_is_help=True)
module = typer.Typer(help="Ask programs of one's own about packets.", no_args_is_help=True)
app.add_typer(module, name="module")
_FRAMES_MOST = 100_000  # of a recording
File = Annotated[Path, typer.Argument(metavar="FILE.c", help="The module's C file.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the module: its file's.")]


def _settings(config_file: Path | None, state_dir: Path | None, pin_dir: Path | None) -> Settings:
    """The settings; ConfigError without root."""
    if os.geteuid() != 0:
        raise ConfigError("modules run in the kernel, so only root may handle them. Use sudo.")
    return config.override(config.load(config_file), state_dir=state_dir, pin_dir=pin_dir)


def _read(file: Path) -> tuple[str, bytes]:
    """A module's name and file; BadParameter if it cannot be one."""
    from xdpctl.datapath.loader.module_source import BYTES_MOST, SUFFIX

    try:
        if file.suffix != SUFFIX:
            raise typer.BadParameter(f"{file} is not a C file; its name ends in {SUFFIX}")
        if file.stat().st_size > BYTES_MOST:
            raise typer.BadParameter(f"{file} is larger than {BYTES_MOST:,} bytes")
        return names.check(file.stem, "FILE.c"), file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None


def _text(body: bytes, file: Path) -> str:
    """The text that is compiled; BadParameter if it is none."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is no text in UTF-8") from None


@module.command()
def add(
    context: typer.Context,
    file: File,
    match: Annotated[
        str, typer.Option("--match", help="Packets to ask about: 'udp dst-port 7777'.")
    ],
    trial: Annotated[
        str | None,
        typer.Option(
            callback=options.not_empty,
            help="Enforce it, and undo that after this time (60s) unless it is confirmed.",
        ),
    ] = None,
    enforce: Annotated[
        bool, typer.Option("--enforce", help="Enforce it; default: monitor, so all passes.")
    ] = False,
    challenge: Annotated[
        bool,
        typer.Option("--challenge", help="Send its replies; without, CHALLENGE is as DROP."),
    ] = False,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    pin_dir: options.PinDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Add a module, or change it, and a rule that asks it about each packet of a match.

    It is compiled, the kernel verifies it, and its time is measured first. Then
    the rule is monitored: "xdpctl list" shows what it would drop. What a module
    may use is in bpf/module.h; docs/how-to/modules.md has examples.

    A rule that is enforced lets a few of the flows pass that it would drop, which
    shows whether it hits people.

    Example: xdpctl module add game.c --match "udp dst-port 7777"
    Example: xdpctl module add game.c --match "udp dst-port 7777" --trial 60s
    """
    from xdpctl.datapath.loader.module_signature import check, read_signers

    settings = _settings(config_file, state_dir, pin_dir)
    name, data = _read(file)
    asked = text.parse(f"{match} module {name}")
    checked = check(data, name, read_signers(settings.modules.signers))
    source = _text(checked.body, file)
    took = _measured(source, settings.modules_dir.with_name(f"modules-{name}.json"))
    if not form.for_programs:
        if checked.signer:
            output.out.print(f"{name}: signed by {escape(checked.signer)}")
        output.out.print(f"{name}: the kernel takes it; about {took:.0f} ns a packet")
    enforced = enforce or trial is not None
    body: dict[str, Any] = {
        "match": asked.as_json(),
        "action": "challenge" if challenge else "drop",
        "mode": "enforce" if enforced else "monitor",
        "spare": Spare.TRIAL.value if enforced and not challenge else None,
        "confirm_within": trial,
        "ttl": ttl,
        "reason": reason,
        "tags": ["module"],
        "replace": True,
    }
    files, client = _files(settings), options.client(context)
    asking = [rule for rule in _asking(client, name) if rule["mode"] == "enforce"]
    if asking and not (enforce and trial is None):
        raise ConflictError(
            f"{output.plural(len(asking), 'rule enforces', 'rules enforce')} {name}, and would ask "
            "the new text at once; nothing was changed",
            "match.module",
            "give --enforce, or try it under another file name first",
        )
    before = files.install(name, data)
    try:
        add_rule(client, body, form)
    except BaseException:  # also if the question is not answered, or at Ctrl-C
        try:
            files.put_back(name, before)
        except (XdpctlError, OSError) as error:
            output.err.print(f"the new {name} stays in the filter: {error}", markup=False)
        raise


def _asking(client: "Client", name: str) -> list[dict[str, Any]]:
    """The rules that ask a module."""
    return [rule for rule in client.pages() if rule["match"].get("module") == name]


def _measured(source: str, cache: Path) -> float:
    """What the module adds to a packet, in ns; an error if it does not compile, or is too slow."""
    from xdpctl.datapath.loader.filter_program import BUDGET_NS
    from xdpctl.datapath.loader.module_alone import ModuleAlone, made_frames
    from xdpctl.datapath.loader.module_source import compile_module

    with ModuleAlone(compile_module(source, cache)) as alone:
        took = alone.nanoseconds(made_frames())
    if took > BUDGET_NS:
        raise DatapathError(
            f"it takes {took:,.0f} ns a packet, and may take {BUDGET_NS:,}; nothing was changed"
        )
    return took


def _files(settings: Settings) -> "ModuleFiles":
    from xdpctl.datapath.bpf.pins import Pins
    from xdpctl.datapath.loader.module_files import ModuleFiles

    return ModuleFiles(settings.modules_dir, Pins(settings.pin_dir))


@module.command("list")
def list_modules(
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    pin_dir: options.PinDir = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Show the modules that the filter has, and what each has said.

    Example: xdpctl module list
    """
    rows = _files(_settings(config_file, state_dir, pin_dir)).counts()
    if printed([row._asdict() for row in rows], form):
        return
    if not rows:
        output.out.print("the filter has no modules; add one: xdpctl module add FILE.c --match …")
    for row in rows:
        took = f"{row.ns:.0f} ns a packet" if row.ns is not None else "not timed yet"
        nonsense = f", {si(row.nonsense)} times nonsense" if row.nonsense else ""
        ended = ", [red]too slow, so it was taken out[/red]" if row.ended else ""
        output.out.print(
            f"{row.name}: asked about {si(row.packets)} packets, {si(row.dropped)} to drop, "
            f"{si(row.challenged)} to challenge{nonsense}; {took}{ended}"
        )


@module.command()
def remove(
    context: typer.Context,
    name: Name,
    config_file: options.Config = None,
    state_dir: options.StateDir = None,
    pin_dir: options.PinDir = None,
) -> None:
    """Remove a module and the rules that ask it, in a fleet from all nodes.

    Example: xdpctl module remove game
    """
    settings = _settings(config_file, state_dir, pin_dir)
    files = _files(settings)
    client, here = options.client(context), files.has(names.check(name, "NAME"))
    if not _unshare(client, name) and not here:
        raise NotFoundError(f"there is no module {name}; see xdpctl module list")
    asking = _asking(client, name)
    for rule in asking:
        client.call("DELETE", f"/v1/rules/{rule['id']}")
    files.put_back(name, None)
    rules = output.plural(len(asking), "rule", "rules")
    output.out.print(f"removed: module {escape(name)} and {rules}")


def _unshare(client: "Client", name: str) -> bool:
    """Remove a module from the nodes of a fleet; False if no fleet shares it."""
    try:
        client.call("DELETE", f"/v1/fleet/modules/{name}")
    except Refused as error:
        if error.problem.get("status") == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


@module.command()
def sign(
    file: File,
    key: Annotated[
        Path,
        typer.Option("--key", help="SSH key: a private one, or a public one that ssh-agent has."),
    ],
) -> None:
    """Sign a module's file, for hosts whose modules.signers has your key. Needs no root.

    The signature is the file's last comment. It is for the text, and for the
    file's name. An earlier signature is replaced.

    Example: xdpctl module sign game.c --key ~/.ssh/id_ed25519
    """
    from xdpctl.base.system.owned_folder import replace_file
    from xdpctl.datapath.loader import module_signature
    from xdpctl.datapath.loader.module_source import BYTES_MOST

    file = file.resolve()  # a link's signature would be for another name than its file's
    name, data = _read(file)
    _text(data, file)
    signed = module_signature.sign(data, name, key)
    if len(signed) > BYTES_MOST:
        raise ConfigError(f"{file}, signed, is larger than {BYTES_MOST:,} bytes; it is as before")
    mode = stat.S_IMODE(file.stat().st_mode)
    try:
        replace_file(file, signed, mode)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
    output.out.print(f"signed: {escape(str(file))}, as module {name}")


@module.command()
def share(context: typer.Context, file: File, form: options.Output = Format.TABLE) -> None:
    """Give a signed module to all nodes of the fleet; rules may ask it then.

    A node loads it if its modules.signers has the key. "xdpctl module remove" on
    one node removes it from all.

    Example: xdpctl module share game.c
    """
    name, data = _read(file)
    body = {"text": _text(data, file)}
    done = options.client(context).call("PUT", f"/v1/fleet/modules/{name}", json=body)
    if not printed(done, form):
        output.out.print(f"shared: module {name}, with {escape(done['fleet']['text'])} nodes")


@module.command("test")
def ask_about(
    file: File,
    recording: Annotated[Path, typer.Argument(metavar="CAPTURE", help="pcap or pcapng file.")],
    config_file: options.Config = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Ask a module about the packets of a recording. Nothing else is changed.

    Example: xdpctl module test game.c evening.pcap
    """
    from xdpctl.base.net.pcap_reader import Skipped, packets
    from xdpctl.datapath.loader.module_alone import ModuleAlone
    from xdpctl.datapath.loader.module_signature import body_of
    from xdpctl.datapath.loader.module_source import compile_module

    _settings(config_file, None, None)
    source = _text(body_of(_read(file)[1]), file)
    read = islice(packets(recording, Skipped()), _FRAMES_MOST)
    frames = [packet.frame for packet in read if packet.frame]
    said: Counter[str] = Counter()
    with ModuleAlone(compile_module(source)) as alone:
        for frame in frames:
            verdict = alone.ask(frame)
            said[verdict.name.lower() if verdict else "not asked"] += 1
        took = alone.nanoseconds(frames[: len(frames) : max(1, len(frames) // 8)]) if frames else 0
    if printed({"packets": len(frames), "ns": took, "verdicts": dict(said)}, form):
        return
    for verdict_name, number in said.most_common():
        output.out.print(f"{number:>9,}  {verdict_name}")
    output.out.print(f"{len(frames):>9,}  packets; at most about {took:.0f} ns each")
