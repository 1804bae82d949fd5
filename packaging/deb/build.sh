#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# build.sh OUT: a Debian package for this machine's release and architecture, with a virtual
# environment of its own below /usr/lib/xdpctl. Run from the checkout, after `make setup`.
set -eu
out=$1
here=$(dirname "$0")
python=${PYTHON:-/usr/bin/python3}
tools=.venv/bin/python
version=$($tools -c 'import xdpctl; print(xdpctl.__version__)')${VERSION_SUFFIX:-}
minor=$($python -c 'import sys; print(sys.version_info.minor)')
architecture=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$root"
lib=$root/usr/lib/xdpctl

$python -m venv --system-site-packages --without-pip "$lib"
rm -rf "$lib"/bin/[Aa]ctivate* "$lib/.gitignore" "$lib/include"
sed -i '/^command/d' "$lib/pyvenv.cfg"
packages=$lib/lib/python3.$minor/site-packages
$tools -m pip install --quiet --no-warn-conflicts --require-hashes --no-deps --no-compile \
	--target "$packages" --requirement requirements-run.lock
rm -rf "$packages/bin"
wheels=$root/wheels
$tools -m hatchling build --target wheel --directory "$wheels" >/dev/null
$tools -m pip install --quiet --no-deps --no-compile --target "$packages" "$wheels"/xdpctl-*.whl
rm -rf "$wheels" "$packages/bin"
$python -m compileall -q -s "$root" -p / "$packages"
cat >"$lib/bin/xdpctl" <<'SCRIPT'
#!/usr/lib/xdpctl/bin/python -I
from xdpctl.cli import main

main()
SCRIPT
chmod 755 "$lib/bin/xdpctl"

install -d "$root/usr/bin" "$root/etc/xdpctl" "$root/usr/lib/systemd/system" \
	"$root/usr/lib/sysusers.d" "$root/usr/share/doc/xdpctl" "$root/usr/share/xdpctl" "$root/DEBIAN"
ln -s ../lib/xdpctl/bin/xdpctl "$root/usr/bin/xdpctl"
for unit in packaging/systemd/*; do
	sed 's#/opt/xdpctl/.venv/bin#/usr/lib/xdpctl/bin#; s#/opt/xdpctl/docs#/usr/share/doc/xdpctl#' \
		"$unit" >"$root/usr/lib/systemd/system/$(basename "$unit")"
done
cp packaging/sysusers.d/xdpctl.conf "$root/usr/lib/sysusers.d/"
sed 's/^interfaces = .*/interfaces = []    # name yours, for example ["eth0"]/' \
	packaging/xdpctl.toml >"$root/etc/xdpctl/xdpctl.toml"
chmod 640 "$root/etc/xdpctl/xdpctl.toml"
cp -r docs/*.md CHANGELOG.md "$root/usr/share/doc/xdpctl/"
cp -r packaging/detectors "$root/usr/share/xdpctl/"

size=$(du -sk "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/
s/@PYTHON@/3.$minor/; s/@NEXT@/3.$((minor + 1))/" "$here/control.in" >"$root/DEBIAN/control"
echo /etc/xdpctl/xdpctl.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
	install -m 755 "$here/$script" "$root/DEBIAN/$script"
done
mkdir -p "$out"
dpkg-deb --root-owner-group --build -Zxz "$root" "$out/xdpctl_${version}_$architecture.deb" >/dev/null
echo "$out/xdpctl_${version}_$architecture.deb"
