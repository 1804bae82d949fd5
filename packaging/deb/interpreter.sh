#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# interpreter.sh PYTHON FOLDER: copies the distribution's Python, and what xdpctl uses of its
# standard library, into the folder: bin/python3.MINOR and lib/python3.MINOR.
set -eu
python=$1 folder=$2
"$python" -c 'import sys; sys.exit(sys.prefix != sys.base_prefix)' || {
	echo "interpreter: $python belongs to a virtual environment; name the distribution's Python" >&2
	exit 1
}
program=$(readlink -f "$python")
dpkg-query --search "$program" >/dev/null || {
	echo "interpreter: no package of the distribution has $program" >&2
	exit 1
}
library=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
name=$(basename "$library")
install -D -m 755 "$program" "$folder/bin/$name"
mkdir -p "$folder/lib"
cp -R --no-dereference "$library" "$folder/lib/"
cd "$folder/lib/$name"

# the distribution's own settings, and tests, editors, installers and build files
rm -rf EXTERNALLY-MANAGED sitecustomize.py "config-${name#python}"* dist-packages site-packages \
	test idlelib tkinter turtledemo turtle.py ensurepip venv lib2to3 distutils pydoc_data \
	_pyrepl _distutils_system_mod.py __phello__ __hello__.py antigravity.py this.py
# modules that read the keyboard or the screen by themselves, and files of dbm: nothing uses them,
# and their libraries would have to be installed
rm -rf curses dbm
cd lib-dynload
rm -f _test*.so _ctypes_test.*.so _xxtestfuzz.*.so xx*.so _tkinter.*.so _curses*.so readline.*.so \
	_dbm.*.so _gdbm.*.so
cd ..
find . -depth -name __pycache__ -exec rm -rf {} +
find . -name '*.py' -exec chmod 644 {} + -exec sed -i '1s/^#!.*python.*$/#/' {} +
