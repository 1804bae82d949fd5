#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# On the protected machine, as root: set up from the checkout, filter eth1, serve something.
set -eu
cd /opt/xdpctl
command -v make >/dev/null || { apt-get update -q && apt-get install -y -q make nftables; }
make setup

install -d /etc/xdpctl
cat >/etc/xdpctl/xdpctl.toml <<'SETTINGS'
interfaces = ["eth1"]
protected = ["10.66.0.0/24"]
SETTINGS
install -m 644 packaging/sysusers.d/xdpctl.conf /usr/lib/sysusers.d/
systemd-sysusers
install -m 644 packaging/systemd/* /etc/systemd/system/
ln -sf /opt/xdpctl/.venv/bin/xdpctl /usr/local/bin/xdpctl

# what comes as far as the network stack, counted from before the network is up
cat >/etc/nftables.conf <<'RULES'
flush ruleset
table inet lab {
  counter hostile {}
  chain first {
    type filter hook prerouting priority raw;
    ip saddr 203.0.113.0/24 counter name hostile
  }
}
RULES
cat >/etc/systemd/system/school.service <<'UNIT'
[Unit]
Description=What is protected: a web page
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /srv 80
[Install]
WantedBy=multi-user.target
UNIT
echo 'the timetable' >/srv/index.html
systemctl daemon-reload
systemctl enable --quiet nftables school xdpctl-loader xdpctl.socket xdpctl-tcp.socket xdpctl
systemctl restart nftables school xdpctl-loader xdpctl.socket xdpctl-tcp.socket xdpctl
