#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# sbom.sh OUT: writes a CycloneDX SBOM of the third-party packages in the Debian package, as
# requirements.lock pins them. Its tool is not a development dependency: this script installs it in
# a temporary environment.
set -eu
out=$1
python=${PYTHON:-/usr/bin/python3}
tools=${TOOLS:-.venv/bin/python}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM

"$python" -m venv --without-pip "$place/venv"
"$tools" -m pip --python "$place/venv/bin/python" install --quiet --no-compile --require-hashes \
	--requirement packaging/sbom.lock
mkdir -p "$(dirname "$out")"
"$tools" -m tools.requirements fleet bgp xarf >"$place/wanted"
"$tools" -m pip install --quiet --no-warn-conflicts --no-compile --require-hashes \
	--target "$place/packages" --constraint requirements.lock --requirement "$place/wanted"
"$tools" -m pip freeze --path "$place/packages" >"$place/frozen"
"$tools" -m tools.requirements --locked "$place/frozen" >"$place/locked"
"$place/venv/bin/cyclonedx-py" requirements "$place/locked" --pyproject pyproject.toml \
	--mc-type application --output-reproducible --output-format JSON --output-file "$out" --validate
