#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# numpy.sh PYTHON SITE-PACKAGES: replaces numpy there by the same version, built from source without
# a BLAS, which nothing needs and which has 22 MB. TOOLS is a Python with pip.
set -eu
python=$1
packages=$2
here=$(dirname "$0")
tools=${TOOLS:-.venv/bin/python}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM

set -- "$packages"/numpy-*.dist-info
version=${1##*/numpy-}
echo "numpy==${version%.dist-info}" >"$place/pin"
$tools -m tools.requirements --locked "$place/pin" >"$place/locked"
"$python" -m venv --without-pip "$place/venv"
$tools -m pip --python "$place/venv/bin/python" install --quiet --no-compile --require-hashes \
	--requirement "$here/numpy.lock"
PATH=$place/venv/bin:$PATH $tools -m pip --python "$place/venv/bin/python" wheel --quiet --no-deps \
	--no-cache-dir --no-binary numpy --no-build-isolation --require-hashes --requirement "$place/locked" \
	--config-settings setup-args=-Dallow-noblas=true --config-settings setup-args=-Dblas=none \
	--config-settings setup-args=-Dlapack=none --wheel-dir "$place/wheels"
rm -rf "$packages"/numpy "$packages"/numpy-*.dist-info "$packages"/numpy.libs
"$python" -m zipfile -e "$place"/wheels/numpy-*.whl "$packages"
# it has the path of the Python that built it
sed -i 's#^\( *"path": r"\).*/bin/python"#\1/usr/lib/xdpctl/bin/python"#' "$packages/numpy/__config__.py"
