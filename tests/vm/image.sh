#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# image.sh OUT SUITE ARCHITECTURE KERNEL LOCK PYTHON [APT LINE ...]: a root file system with what the kernel
# tests need, its kernel, and an initrd that mounts it. Nothing of another architecture is executed:
# its packages are unpacked and not configured, and systemd does not run there.
set -eu
out=$1 suite=$2 architecture=$3 kernel=$4 lock=$5 python=$6
shift 6
root=$(mktemp -d "$out/root.XXXXXX")
trap 'rm -rf "$root" "$out/initrd.d"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$root"

own=$(dpkg --print-architecture)
if [ "$architecture" = "$own" ]; then
	unpack=--variant=minbase essential=
else
	unpack="--variant=extract --skip=check/qemu" essential=',?essential'
fi
# shellcheck disable=SC2086  # two options
mmdebstrap --quiet --mode=root $unpack --architectures="$architecture" --aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--include="$kernel,python3-bpfcc,python3-venv,iproute2,ethtool,bpftool,procps,kmod,gcc,libc6-dev,ca-certificates,systemd-sysv,udev,nftables,busybox-static$essential" \
	"$suite" "$root" "$@" >&2

version=$(ls "$root/lib/modules")
if [ "$architecture" = "$own" ]; then
	# wheels come the way this machine gets them
	cp "$lock" "$root/requirements.lock"
	cp /etc/resolv.conf /etc/hosts "$root/etc/"
	[ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"
	[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	chroot "$root" python3 -m venv --system-site-packages /opt/venv >&2
	chroot "$root" /opt/venv/bin/pip install --quiet --require-hashes --requirement /requirements.lock >&2
else
	# what the packages' scripts would have done, as far as the tests need it
	depmod -b "$root" "$version"
	for kind in passwd group; do cp "$root/usr/share/base-passwd/$kind.master" "$root/etc/$kind"; done
	name=$(readlink "$root/usr/bin/python3")
	mkdir -p "$root/opt/venv/bin"
	ln -s /usr/bin/python3 "$root/opt/venv/bin/python"
	printf '%s\n' 'home = /usr/bin' 'include-system-site-packages = true' >"$root/opt/venv/pyvenv.cfg"
	platform=$(basename "$root"/usr/lib/*-linux-gnu -linux-gnu)
	"$python" -m pip install --quiet --no-warn-conflicts --require-hashes --no-compile --only-binary :all: \
		--python-version "${name#python}" --implementation cp \
		--platform "manylinux_2_17_$platform" --platform "manylinux2014_$platform" \
		--platform "manylinux_2_27_$platform" --platform "manylinux_2_28_$platform" \
		--target "$root/opt/venv/lib/$name/site-packages" --requirement "$lock" >&2
fi

cat >"$root/vminit" <<'INIT'
#!/bin/sh
# Runs what the second disk says, and ends the machine.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -o remount,rw /
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
mkdir -p /project && mount /dev/vdb /project
cd /project && sh /project/run.sh
echo "ended with $?"
sync
echo o >/proc/sysrq-trigger
sleep 60
INIT
chmod 755 "$root/vminit"

# with init=/sbin/init, systemd runs the second disk's script once everything is up
cat >"$root/etc/systemd/system/vm.service" <<'UNIT'
[Unit]
Description=What the second disk says
After=multi-user.target

[Service]
ExecStart=/bin/sh -c 'mkdir -p /project && mount /dev/vdb /project && cd /project && sh run.sh'
Environment=HOME=/root
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
UNIT
if [ "$architecture" = "$own" ]; then
	chroot "$root" systemctl --quiet enable vm.service systemd-networkd.service >&2
	chroot "$root" systemctl --quiet mask serial-getty@ttyS0.service apt-daily.timer \
		apt-daily-upgrade.timer systemd-networkd-wait-online.service >&2
fi
echo '/dev/vda / ext4 noatime 0 1' >"$root/etc/fstab"

cp "$root/boot/vmlinuz-$version" "$out/vmlinuz"
early=$out/initrd.d
mkdir -p "$early/bin" "$early/modules" "$early/dev" "$early/proc" "$early/sys" "$early/new"
cp "$root/usr/bin/busybox" "$early/bin/busybox"
for module in virtio_pci virtio_blk virtio_net ext4; do
	modprobe -d "$root" -S "$version" --show-depends $module 2>/dev/null | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r path; do
	name=$(basename "$path")
	case $name in
	*.xz) name=${name%.xz} && xz -dc "$path" >"$early/modules/$name" ;;
	*.zst) name=${name%.zst} && zstd -qdc "$path" >"$early/modules/$name" ;;
	*) cp "$path" "$early/modules/$name" ;;
	esac
	echo "$name" >>"$early/modules/order"
done
cat >"$early/init" <<'INIT'
#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sysfs /sys
$busybox mount -t devtmpfs devtmpfs /dev
for module in $($busybox cat /modules/order); do $busybox insmod /modules/$module; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do $busybox sleep 0.1; tries=$((tries + 1)); done
$busybox mount -t ext4 -o rw,noatime /dev/vda /new
first=/vminit
for word in $($busybox cat /proc/cmdline); do
	case $word in init=*) first=${word#init=} ;; esac
done
# the second serial port returns the result
port=ttyS1 # which an arm64 kernel lists as well, without hardware behind it
[ ! -c /dev/ttyAMA1 ] || port=ttyAMA1
$busybox ln -s $port /dev/result
for kept in dev proc sys; do $busybox mount --move /$kept /new/$kept; done
exec $busybox switch_root /new $first
INIT
chmod 755 "$early/init"
(cd "$early" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/initrd"

rm -rf "$root/var/cache/apt" "$root/var/lib/apt/lists" "$root"/boot/* "$root/usr/lib/debug"
mke2fs -q -F -t ext4 -O ^has_journal -d "$root" "$out/root.img" 2500M
echo "$version" >"$out/version"
