#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# box.sh OUT.box [SUITE]: a box for vagrant-libvirt from the distribution's packages, with all that
# `make setup` needs, since its machines have no way out. As root; needs a loop device.
set -eu
out=$1 suite=${2:-trixie}
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/xdpctl-box.XXXXXX")
loop=
cleanup() {
	if mountpoint -q "$work/mnt"; then umount "$work/mnt"; fi
	[ -z "$loop" ] || losetup -d "$loop"
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
root=$work/root image=$work/box.raw

mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--include=linux-image-cloud-amd64,systemd-sysv,dbus,udev,openssh-server,sudo,ifupdown,isc-dhcp-client,iproute2,iputils-ping,ethtool,nftables,python3-bpfcc,python3-venv,gcc,libc6-dev,make,rsync,curl,ca-certificates \
	"$suite" "$root"

# the wheels of the lock, fetched the way this machine gets them, and found there afterwards
cp "$here/requirements.lock" "$root/tmp/"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
chroot "$root" sh -c 'python3 -m venv /tmp/venv && /tmp/venv/bin/pip download --quiet \
	--require-hashes --requirement /tmp/requirements.lock --dest /opt/wheels && rm -rf /tmp/venv'
printf '[global]\nno-index = true\nfind-links = /opt/wheels\n' >"$root/etc/pip.conf"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
rm -f "$root/etc/resolv.conf" "$root/tmp/requirements.lock"

chroot "$root" useradd --create-home --shell /bin/bash vagrant
keys=$(dpkg -L vagrant | grep '/keys/vagrant\.pub')
install -d -m 700 "$root/home/vagrant/.ssh"
# shellcheck disable=SC2086
cat $keys >"$root/home/vagrant/.ssh/authorized_keys"
chmod 600 "$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh
echo 'vagrant ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/vagrant"
printf 'UseDNS no\nGSSAPIAuthentication no\n' >"$root/etc/ssh/sshd_config.d/vagrant.conf"
echo xdpctl >"$root/etc/hostname"
echo '/dev/vda1 / ext4 noatime,errors=remount-ro 0 1' >"$root/etc/fstab"
cat >"$root/etc/network/interfaces" <<'NETWORK'
auto lo
iface lo inet loopback
allow-hotplug eth0
iface eth0 inet dhcp
source /etc/network/interfaces.d/*
NETWORK
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
	fstrim.timer systemd-networkd-wait-online.service >&2

# an initrd of what a virtual machine needs: emulated, each MB of it costs seconds
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=gzip/' "$root/etc/initramfs-tools/initramfs.conf"
printf 'virtio_pci\nvirtio_blk\nvirtio_net\next4\n' >"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u >/dev/null
kernel=$(basename "$(ls "$root"/boot/vmlinuz-* | tail -1)")
install -d "$root/boot/extlinux"
cat >"$root/boot/extlinux/extlinux.conf" <<BOOT
DEFAULT linux
PROMPT 0
TIMEOUT 1
LABEL linux
 LINUX /boot/$kernel
 INITRD /boot/initrd.img-${kernel#vmlinuz-}
 APPEND root=/dev/vda1 rw console=ttyS0 net.ifnames=0 quiet
BOOT
rm -rf "$root/var/cache/apt" "$root/var/lib/apt/lists"

truncate -s 6G "$image"
echo '2048,,L,*' | sfdisk --quiet "$image"
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$image" conv=notrunc bs=440 count=1 status=none
loop=$(losetup --find --show --offset 1048576 "$image")
mke2fs -q -t ext4 -O '^64bit,^metadata_csum' -d "$root" "$loop"
mkdir "$work/mnt"
mount "$loop" "$work/mnt"
extlinux --install "$work/mnt/boot/extlinux" >/dev/null 2>&1
umount "$work/mnt"
losetup -d "$loop"
loop=
qemu-img convert -c -O qcow2 "$image" "$work/box.img"
echo '{"provider":"libvirt","format":"qcow2","virtual_size":6}' >"$work/metadata.json"
echo 'Vagrant.configure("2") { |config| }' >"$work/Vagrantfile"
tar -C "$work" -cf "$out" metadata.json Vagrantfile box.img
echo "$out"
