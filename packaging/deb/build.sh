#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# build.sh OUT: builds a Debian package for this machine's release and architecture, with a private
# virtual environment in /usr/lib/xdpctl. Run it in the checkout, after `make setup`.
set -eu
out=$1
here=$(dirname "$0")
python=${PYTHON:-/usr/bin/python3}
tools=${TOOLS:-.venv/bin/python}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
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
$tools -m tools.requirements fleet bgp xarf >"$root/wanted"
$tools -m pip install --quiet --no-warn-conflicts --require-hashes --no-compile \
	--target "$packages" --constraint requirements.lock --requirement "$root/wanted"
rm "$root/wanted"
rm -rf "$packages/bin"
wheels=$root/wheels
$tools -m hatchling build --target wheel --directory "$wheels" >/dev/null
$tools -m pip install --quiet --no-deps --no-compile --target "$packages" "$wheels"/xdpctl-*.whl
rm -rf "$wheels" "$packages/bin"
"$here/slim.sh" "$packages"
PYTHONPATH=$packages $python -B -P -m xdpctl.datapath.loader.images "$packages/xdpctl/images"
find "$packages" -depth -name __pycache__ -exec rm -rf {} +
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
cp -r packaging/detectors packaging/prometheus packaging/grafana "$root/usr/share/xdpctl/"

doc=$root/usr/share/doc/xdpctl
cp -r docs/. CHANGELOG.md "$doc/"
$tools -m tools.deb changelog "$version" | gzip -9n >"$doc/changelog.gz"
$tools -m tools.deb copyright "$packages" >"$doc/copyright"
install -D -m 644 "$here/lintian-overrides" "$root/usr/share/lintian/overrides/xdpctl"
$tools -m tools.man "$root/man"
for page in "$root"/man/*; do
	install -d "$root/usr/share/man/man${page##*.}"
	gzip -9nc "$page" >"$root/usr/share/man/man${page##*.}/$(basename "$page").gz"
done
rm -r "$root/man"

# completion: SHELL FILE, below /usr/share
while read -r shell file; do
	install -d "$root/usr/share/$(dirname "$file")"
	_XDPCTL_COMPLETE=source_$shell $tools -m xdpctl >"$root/usr/share/$file"
done <<'SHELLS'
bash bash-completion/completions/xdpctl
zsh zsh/vendor-completions/_xdpctl
fish fish/vendor_completions.d/xdpctl.fish
SHELLS
# zsh loads the file at the first completion, and expects it to return completions then
sed -i 's/^compdef .*/_xdpctl_completion "$@"/' "$root/usr/share/zsh/vendor-completions/_xdpctl"

size=$(du -sk "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/
s/@PYTHON@/3.$minor/; s/@NEXT@/3.$((minor + 1))/" "$here/control.in" >"$root/DEBIAN/control"
echo /etc/xdpctl/xdpctl.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
	install -m 755 "$here/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
mkdir -p "$out"
dpkg-deb --root-owner-group --build -Zxz "$root" "$out/xdpctl_${version}_$architecture.deb" >/dev/null
echo "$out/xdpctl_${version}_$architecture.deb"
