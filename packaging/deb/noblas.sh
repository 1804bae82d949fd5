#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# noblas.sh SITE-PACKAGES PYTHON: puts noblas.c in the place of the OpenBLAS of numpy's wheel, which
# has 22 MB, and lets numpy calculate with it.
set -eu
packages=$1 python=$2
here=$(cd "$(dirname "$0")" && pwd)
cd "$packages/numpy.libs"
set -- *openblas*.so
if [ $# != 1 ] || [ ! -e "$1" ]; then
	echo "noblas: numpy.libs has not one OpenBLAS, but: $*" >&2
	exit 1
fi
gcc -std=c11 -O2 -Wall -Werror -fPIC -shared -s -Wl,--build-id=none -Wl,-soname="$1" -o "$1" \
	"$here/noblas.c"
chmod 644 "$1"
# libraries of Fortran, which only OpenBLAS needs
find . -name '*.so*' ! -name "$1" -delete
PYTHONPATH=$packages "$python" -B -P -c '
import numpy as np
for kind in "fdFD":
    a, b = np.arange(12, dtype=kind).reshape(3, 4), np.arange(20, dtype=kind).reshape(4, 5)
    whole = a.real.astype(int) @ b.real.astype(int)
    assert ((a @ b) == whole).all() and ((b.T @ a.T) == whole.T).all()
    assert ((a @ a.T) == a.real.astype(int) @ a.real.astype(int).T).all()
    assert ((a @ b[:, 1]) == whole[:, 1]).all() and a[0].dot(a[0]) == 14
'
