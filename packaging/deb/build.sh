#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# build.sh OUT: builds the Debian packages for this machine's release and architecture: xdpctl, with
# a Python and a virtual environment of its own below /usr/lib/xdpctl, and the libraries that only
# some boxes need, xdpctl-fleet and xdpctl-bgp. Prints their files, xdpctl first. Run it in the
# checkout, after `make setup`.
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
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM
root=$place/xdpctl
lib=$root/usr/lib/xdpctl
site=usr/lib/xdpctl/lib/python3.$minor/site-packages
packages=$root/$site
umask 022

# install_locked FOLDER ARGUMENT...: what tools.requirements prints, as requirements.lock has it
install_locked() {
	folder=$1
	shift
	$tools -m tools.requirements "$@" >"$place/wanted"
	$tools -m pip install --quiet --no-warn-conflicts --require-hashes --no-compile \
		--target "$folder" --constraint requirements.lock --requirement "$place/wanted"
	rm -rf "${folder:?}/bin"
}

"$here/interpreter.sh" "$python" "$lib/python"
mkdir -p "$lib/bin"
ln -s "../python/bin/python3.$minor" "$lib/bin/python"
printf '%s\n' 'home = /usr/lib/xdpctl/python/bin' 'include-system-site-packages = false' \
	"version = $($python -c 'import platform; print(platform.python_version())')" >"$lib/pyvenv.cfg"
install_locked "$packages" xarf
"$here/numpy.sh" "$python" "$packages"
for extra in fleet bgp; do
	install_locked "$place/xdpctl-$extra/$site" --only "$extra"
	$tools -m tools.apart "$packages" "$place/xdpctl-$extra/$site"
done
$tools -m hatchling build --target wheel --directory "$place/wheels" >/dev/null
$tools -m pip install --quiet --no-deps --no-compile --target "$packages" "$place"/wheels/xdpctl-*.whl
rm -rf "${packages:?}/bin"
for each in xdpctl xdpctl-fleet xdpctl-bgp; do
	"$here/slim.sh" "$place/$each/$site"
done
PYTHONPATH=$packages $python -B -P -m xdpctl.datapath.loader.images "$packages/xdpctl/images"
for each in xdpctl xdpctl-fleet xdpctl-bgp; do
	"$here/bytecode.sh" "$python" "$place/$each"
done
cat >"$lib/bin/xdpctl" <<'SCRIPT'
#!/usr/lib/xdpctl/bin/python -I
from xdpctl.cli import main

main()
SCRIPT
chmod 755 "$lib/bin/xdpctl"

install -d "$root/usr/bin" "$root/etc/xdpctl" "$root/usr/lib/systemd/system" \
	"$root/usr/lib/sysusers.d" "$root/usr/share/doc/xdpctl" "$root/usr/share/xdpctl"
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
cp -r docs/. CHANGELOG.md "$root/usr/share/doc/xdpctl/"
# pictures of the pages, and the document of the API, which a running box serves
rm -r "$root"/usr/share/doc/xdpctl/img "$root"/usr/share/doc/xdpctl/results/img \
	"$root/usr/share/doc/xdpctl/reference/openapi.json"
$tools -m tools.man "$place/man"
for page in "$place"/man/*; do
	install -d "$root/usr/share/man/man${page##*.}"
	gzip -9nc "$page" >"$root/usr/share/man/man${page##*.}/$(basename "$page").gz"
done

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

echo /etc/xdpctl/xdpctl.toml >"$place/conffiles"
install -D -m 644 "$place/conffiles" "$root/DEBIAN/conffiles"
program=$lib/python/bin/python3.$minor
owner=$(dpkg-query --search "$(readlink -f "$python")" | cut -d: -f1)
# shellcheck disable=SC2016  # fields of dpkg-query
source=$(dpkg-query -W -f '${source:Package} (= ${source:Version})' "$owner")
mkdir -p "$out"
for each in xdpctl xdpctl-fleet xdpctl-bgp; do
	doc=$place/$each/usr/share/doc/$each
	mkdir -p "$doc" "$place/$each/DEBIAN"
	$tools -m tools.deb changelog "$version" "$each" | gzip -9n >"$doc/changelog.gz"
	$tools -m tools.deb copyright "$place/$each/$site" "$each" >"$doc/copyright"
	install -D -m 644 "$here/overrides/$each" "$place/$each/usr/share/lintian/overrides/$each"
	depends=$("$here/shared-libraries.sh" "$place/$each" "$program")
	sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SOURCE@/$source/
		s/@LIBRARIES@/$depends/; s/@SIZE@/$(du -sk "$place/$each" | cut -f1)/" \
		"$here/control/$each" >"$place/$each/DEBIAN/control"
	for script in "$here/scripts/$each".*; do
		install -m 755 "$script" "$place/$each/DEBIAN/${script##*.}"
	done
	(cd "$place/$each" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$place/md5sums"
	mv "$place/md5sums" "$place/$each/DEBIAN/md5sums"
	file=$out/${each}_${version}_$architecture.deb
	dpkg-deb --root-owner-group --build -Zxz "$place/$each" "$file" >/dev/null
	echo "$file"
done
