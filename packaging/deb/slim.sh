#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# slim.sh SITE-PACKAGES: removes files of wheels that xdpctl does not use.
set -eu
cd "$1"

# tests, type stubs, and files for building extensions
find . -depth -type d \( -name tests -o -name _pyinstaller \) -exec rm -rf {} +
rm -rf numpy/f2py numpy/typing/mypy_plugin.py numpy/_core/include numpy/_core/lib \
	numpy/random/lib numpy/random/_examples \
	numpy/_core/_operand_flag_tests.*.so numpy/_core/_struct_ufunc_tests.*.so \
	numpy/_core/_rational_tests.*.so httptools/vendor cffi/*.h
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' \
	-o -name '*.a' -o -name '*.pyf' -o -name '*.f90' -o -name '*.f' \) -delete
rm -rf numpy/testing numpy/conftest.py jsonschema/benchmarks

# parts of libraries that load only for whoever asks for them: nothing does
rm -rf numpy/linalg/lapack_lite.*.so numpy/fft numpy/polynomial numpy/ctypeslib numpy/_core/_simd.*.so \
	numpy/_core/_multiarray_tests.*.so pydantic/v1
find . -type f \( -name '*.c' -o -name '*.h' \) ! -path './xdpctl/*' -delete

# examples of ExaBGP
rm -rf etc/exabgp/examples

# texts and pictures of Apprise's own command, and lists of what the wheels were built with
rm -rf apprise/i18n apprise/assets/themes/default/*.ico
find . -depth -type d -path '*.dist-info/sboms' -exec rm -rf {} +

# Pygments colours Python, if anything: rich shows it in a traceback
if [ -d pygments/lexers ]; then
	find pygments/lexers -name '*.py' ! -name __init__.py ! -name _mapping.py ! -name python.py \
		! -name special.py -delete
fi

# pip's own records
find . -type f -path '*.dist-info/*' \( -name RECORD -o -name REQUESTED -o -name INSTALLER -o -name direct_url.json \) -delete

find . -type f -path '*.dist-info/*' -exec chmod 644 {} +

# remove debug symbols, and the execute permission of libraries. Those that a wheel has brought from
# elsewhere have none, and the strip of Debian 12 breaks them
find . -type f -name '*.so*' ! -path './*.libs/*' -exec strip --strip-unneeded {} +
find . -type f -name '*.so*' -exec chmod 644 {} +
# modules are not executable scripts
find . -type f -name '*.py' -exec chmod 644 {} + -exec sed -i '1s/^#!.*python.*$/#/' {} +
