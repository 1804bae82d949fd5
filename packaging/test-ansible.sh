#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test-ansible.sh DEB...: lets Ansible set up a box by packaging/ansible, twice: the second time
# nothing may change. The box is a root folder of this machine's release, with its own systemd, in
# namespaces. Ansible reaches it by ssh. Needs root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
boot=
# unshare ignores other signals while it waits
trap '[ -z "$boot" ] || kill -9 "$boot"; wait; rm -rf --one-file-system "$place"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$place"
# shellcheck disable=SC1091  # of this machine
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# the box has no way out: what the packages need is already installed
debs=
include=systemd-sysv,dbus,openssh-server,python3,python3-apt,ethtool
for deb; do
	debs="$debs${debs:+, }\"$(realpath "$deb")\""
	needs=$(dpkg-deb -f "$deb" Depends | sed 's/ *([^)]*)//g; s/ *|[^,]*//g; s/xdpctl,//; s/ //g')
	include=$include,$needs
done
box=$place/box
mmdebstrap --quiet --variant=apt --include="$include" "$suite" "$box"
ssh-keygen -q -t ed25519 -N '' -f "$place/key"
install -D -m 600 "$place/key.pub" "$box/root/.ssh/authorized_keys"

unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
	"$here/enter-root.sh" "$box" /lib/systemd/systemd --log-target=null --unit=multi-user.target \
	>/dev/null 2>&1 &
boot=$!

# on_box COMMAND...: in the box, with its systemd
on_box() {
	leader=$(pgrep --parent "$boot") || return 1
	nsenter --target "$leader" --all --root --wdns=/ -- "$@"
}
for _ in $(seq 100); do
	if on_box systemctl is-active --quiet ssh.service 2>/dev/null; then
		break
	fi
	sleep 0.2
done
on_box sh -ec 'systemctl is-active --quiet ssh.service
	ip link add port0 type veth peer name port1
	ip link set port0 up
	ip link set port1 up'

cat >"$place/inventory" <<INVENTORY
[boxes]
127.0.0.1 ansible_user=root ansible_ssh_private_key_file=$place/key ansible_python_interpreter=/usr/bin/python3
INVENTORY
cat >"$place/extra.json" <<EXTRA
{"xdpctl_debs": [$debs],
 "xdpctl_settings": {"interfaces": ["port0"], "protected": ["198.51.100.0/24"],
  "origins": {"crowdsec": {"max_rules": 50000, "max_ttl": "4h"}}}}
EXTRA

# play: what it prints, and its recap at the end
play() {
	nsenter --target "$(pgrep --parent "$boot")" --net env ANSIBLE_HOST_KEY_CHECKING=False \
		ANSIBLE_SSH_ARGS="-o UserKnownHostsFile=$place/known -o ControlMaster=no" \
		ANSIBLE_HOME="$place/ansible" ANSIBLE_ROLES_PATH="$here/ansible/roles" ANSIBLE_NOCOLOR=1 \
		ansible-playbook --inventory "$place/inventory" --extra-vars "@$place/extra.json" \
		"$here/ansible/site.yml" >"$place/log" 2>&1 || {
		cat "$place/log" >&2
		on_box journalctl --no-pager --lines 50 --unit 'xdpctl*' >&2
		echo "test-ansible: the play failed" >&2
		exit 1
	}
}

# refuses SETTING SENTENCE: a play with this setting fails, says so, and leaves the settings as they are
refuses() {
	before=$(on_box md5sum /etc/xdpctl/xdpctl.toml)
	cp "$place/extra.json" "$place/good.json"
	sed -i "s/\"interfaces\"/$1, &/" "$place/extra.json"
	if (play) >"$place/refused" 2>&1; then
		echo "test-ansible: a play with $1 has ended well" >&2
		exit 1
	fi
	grep -q "$2" "$place/refused" || {
		cat "$place/refused" >&2
		exit 1
	}
	mv "$place/good.json" "$place/extra.json"
	[ "$before" = "$(on_box md5sum /etc/xdpctl/xdpctl.toml)" ] || {
		echo "test-ansible: settings that are not valid were written" >&2
		exit 1
	}
}

play
first=$(sed -n 's/.*changed=\([0-9]*\).*/\1/p' "$place/log")
[ "$first" -gt 0 ] || {
	echo "test-ansible: the first play has changed nothing" >&2
	exit 1
}
# shellcheck disable=SC2016  # of the inner shell
on_box sh -ec 'for unit in xdpctl-loader.service xdpctl.service xdpctl-detect.service; do
		systemctl is-active --quiet "$unit" && systemctl is-enabled --quiet "$unit"
	done
	xdpctl block 203.0.113.7 --ttl 10m --reason "a try" >/dev/null
	if xdpctl block 198.51.100.7 --ttl 10m 2>/dev/null; then exit 1; fi'
play
again=$(sed -n 's/.*changed=\([0-9]*\).*/\1/p' "$place/log")
[ "$again" = 0 ] || {
	cat "$place/log" >&2
	echo "test-ansible: the second play has changed $again tasks" >&2
	exit 1
}
# other settings are put in force by the handler
sed -i 's/198.51.100.0/192.0.2.0/' "$place/extra.json"
play
on_box sh -ec 'if xdpctl block 192.0.2.7 --ttl 10m 2>/dev/null; then exit 1; fi
	xdpctl block 198.51.100.7 --ttl 10m >/dev/null'
refuses '"interface": 1' 'unknown setting interface'
echo "the role works: $first changes, then none; other settings were put in force, bad ones refused"
