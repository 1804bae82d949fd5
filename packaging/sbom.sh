#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# sbom.sh OUT DEB...: writes a CycloneDX SBOM of what the Debian packages contain, xdpctl first. Its
# tool is not a development dependency: this script installs it in a temporary environment.
set -eu
out=$1 deb=$2
shift
python=${PYTHON:-/usr/bin/python3}
tools=${TOOLS:-.venv/bin/python}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM

"$python" -m venv --without-pip "$place/venv"
"$tools" -m pip --python "$place/venv/bin/python" install --quiet --no-compile --require-hashes \
	--requirement packaging/sbom.lock
mkdir -p "$(dirname "$out")"
for each; do
	dpkg-deb -x "$each" "$place/package"
done
# an environment that has the package's distributions, and nothing else
"$python" -m venv --without-pip "$place/environment"
own=$(echo "$place"/environment/lib/python3.*/site-packages)
rmdir "$own"
ln -s "$(echo "$place"/package/usr/lib/xdpctl/lib/python3.*/site-packages)" "$own"
"$place/venv/bin/cyclonedx-py" environment "$place/environment" --pyproject pyproject.toml \
	--mc-type application --output-reproducible --output-format JSON --output-file "$place/parts"
"$tools" -m tools.sbom "$place/parts" "$own" "$(dpkg-deb -f "$deb" Built-Using)" >"$out"
