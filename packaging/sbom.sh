#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# sbom.sh OUT: what xdpctl runs with, as CycloneDX, from requirements-run.lock. The tool that makes
# it is not among what tests and builds: it has a virtual environment for as long as this runs.
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
"$place/venv/bin/cyclonedx-py" requirements requirements-run.lock --pyproject pyproject.toml \
	--mc-type application --output-reproducible --output-format JSON --output-file "$out" --validate
