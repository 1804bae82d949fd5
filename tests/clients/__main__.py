# SPDX-License-Identifier: GPL-2.0-or-later
"""Generates clients in TypeScript and Go, compiles them, and does five things with each on a box.

The client in Python is generated in tests/unit/api/test_generated_client.py.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl_api.app import openapi

_HERE = Path(__file__).parent
_PORT = 8460
_SECONDS = 600.0  # longer than any step takes
Make = Callable[[Path, Path], list[str]]


def _run(*command: str | Path, cwd: Path | None = None, **more: str) -> None:
    """Run a command; its output is shown only if it fails."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(cwd or "/tmp"), **more}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd, env=environment, text=True, capture_output=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-4_000:]}{done.stderr[-4_000:]}")


def _typescript(folder: Path, generator: Path) -> list[str]:
    """The command of the program in TypeScript."""
    _generate(generator, "typescript-fetch", folder, folder / "generated")
    shutil.copy(_HERE / "five.ts", folder)
    # without skipLibCheck: the whole client is checked
    options = ("--strict", "--target", "es2020", "--module", "commonjs", "--outDir", "built")
    _run("tsc", *options, "--lib", "es2020,dom", "five.ts", cwd=folder)
    return ["node", str(folder / "built" / "five.js")]


def _go(folder: Path, generator: Path) -> list[str]:
    """The command of the program in Go."""
    more = "--additional-properties=packageName=xdpctl,enumClassPrefix=true,withGoMod=false"
    _generate(generator, "go", folder, folder / "xdpctl", more)
    shutil.rmtree(folder / "xdpctl" / "test")  # tests of the generator's own
    shutil.copy(_HERE / "five.go", folder)
    (folder / "go.mod").write_text("module example.org/five\n\ngo 1.22\n")
    _run("go", "build", "-o", "five", ".", cwd=folder, GOFLAGS="-mod=mod", GOPROXY="off")
    return [str(folder / "five")]


def _generate(generator: Path, language: str, folder: Path, into: Path, *more: str) -> None:
    document = folder / "openapi.json"
    document.write_text(json.dumps(openapi()))
    _run(generator, "generate", "-i", document, "-g", language, "-o", into, *more, cwd=folder)


def _generator(folder: Path) -> Path:
    """OpenAPI Generator, in an environment of its own."""
    _run(sys.executable, "-m", "venv", folder / "venv")
    pip = folder / "venv" / "bin" / "pip"
    _run(pip, "install", "--quiet", "--require-hashes", "--requirement", _HERE / "generator.lock")
    return folder / "venv" / "bin" / "openapi-generator-cli"


def _five(host: Host, command: list[str], token: str) -> Any:
    """What a program prints, which runs on the host."""
    line = (*command, f"http://127.0.0.1:{_PORT}", token)
    output, errors = host.popen(
        *line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ).communicate(timeout=_SECONDS)
    return json.loads(output) if output else sys.exit(str(errors))


def main() -> None:
    """Generate, compile, and compare what each program did with what it should have done."""
    made: dict[str, Make] = {"TypeScript": _typescript, "Go": _go}
    with tempfile.TemporaryDirectory(prefix="xdpctl-clients-") as name, Lab("clients") as lab:
        folder = Path(name)
        generator = _generator(folder)
        commands = {}
        for language, make in made.items():
            (folder / language).mkdir()
            commands[language] = make(folder / language, generator)
            print(f"{language}: generated, and compiled", flush=True)
        host = lab.host("box")
        lab.cable(host, "isp0", lab.host("far"), "far0")
        box = Box(host, ["isp0"])
        box.port = _PORT
        try:
            box.start()
            token = box.cli("token", "create", "clients", "--role", "operator")["secret"]
            for language, command in commands.items():
                done = _five(host, command, token)
                print(f"{language}: {json.dumps(done)}", flush=True)
                assert (done["rules"], done["added"]) == (0, "203.0.113.0_24")
                assert (done["listed"], done["removed"]) == (["five calls"], "203.0.113.0_24")
                assert "203.0.113.7 is kept out" in done["why"]
        finally:
            box.remove()


if __name__ == "__main__":
    main()
