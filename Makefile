# SPDX-License-Identifier: GPL-2.0-or-later
# The front door: each target is one command on a bare clone.
PYTHON  ?= /usr/bin/python3
VENV    := .venv
BIN     := $(VENV)/bin
APT     := python3-bpfcc python3-venv iproute2 ethtool gcc libc6-dev
DEB_APT := dpkg-dev g++ python3-dev
VM_APT  := qemu-system-x86 mmdebstrap cpio zstd xz-utils kmod e2fsprogs
PEOPLE  := curl nginx-light rsync git nsd unbound dnsperf iperf3 sip-tester openvpn chrony iputils-ping \
	openssh-server openssh-client etcd-server etcd-client qstat
VERSION  = $(shell $(BIN)/python -c 'import xdpctl; print(xdpctl.__version__)')
STAMP   := $(VENV)/.ready
C_FILES := $(wildcard bpf/*.[ch] bpf/*/*.[ch] bpf/headers/include/*/*.h)

.PHONY: help setup demo unit test check format bench nanoseconds rehearsals morning detection people harm fleet fleet-jepsen fleet-scale upstream sessions test-vm test-vm-life test-vm-inline test-vm-nics test-vm-all vagrant-box vagrant-demo man deb lint-deb test-distros image test-image test-ansible test-fleet test-clients test-wheel fuzz pictures proto openapi schema docs lock sbom release test-release dist clean

help:
	@echo "make demo    an attack and its mitigation, in a lab of network namespaces"
	@echo "make unit    the tests that need neither root nor a kernel feature"
	@echo "make test    the whole suite (root; skips what this machine cannot do, and says so)"
	@echo "make check   ruff, mypy, import-linter, clang-format; make format: formats, and fixes what ruff can"
	@echo "make docs    the documentation as a site, in dist/site"
	@echo "make bench   figures beside a bare drop, xdp-filter and nft; writes plots and docs/results/performance.md"
	@echo "make nanoseconds  each step of a packet and its cost; writes docs/results/nanoseconds.md"
	@echo "make morning twelve attacks in a lab; writes docs/results/morning.md"
	@echo "make detection CORPUS=DIR  how fast and how precisely floods are held; writes docs/results/detection.md"
	@echo "make harm    what it does to people, and what gets around it; writes docs/results/harm.md"
	@echo "make fleet   five boxes as one: how fast; writes docs/results/fleet.md"
	@echo "make upstream  a provider is asked while the link is full; writes docs/results/upstream.md"
	@echo "make fleet-jepsen   a fleet under faults for a quarter of an hour; checks that nothing was lost"
	@echo "make sessions whether users stay logged in through floods; writes docs/results/sessions.md"
	@echo "make test-vm KERNEL=6.12   the kernel tests in a virtual machine; test-vm-all: 6.1, 6.12, newest, arm64"
	@echo "make test-vm-life   the Debian package through upgrade, reboot and failures; writes docs/results/machine.md"
	@echo "make test-vm-inline   a bridge with the filter on its outer card"
	@echo "make test-vm-nics   every kind of interface, and what happens to cards; writes docs/results/interfaces.md"
	@echo "make vagrant-demo   an attack on one of three Vagrant machines; vagrant-box: a box for them"
	@echo "make deb     the Debian packages in dist/; make man: their man pages in dist/man"
	@echo "make test-clients generates clients in TypeScript and Go, and tries them; test-wheel: tests the wheel by itself, in network namespaces; lint-deb: lintian on the packages"
	@echo "make test-distros   builds, installs and tries the packages on Debian 12, 13 and Ubuntu 24.04, in root folders"
	@echo "make image   a container image (OCI) of the package, in dist/; test-image: tries it, in namespaces"
	@echo "make test-ansible   the Ansible role sets up a box with a systemd of its own, in namespaces"
	@echo "make test-fleet   the units of a fleet and of a relay, on two boxes with a systemd of their own, in namespaces"
	@echo "make sbom    the SBOM (CycloneDX) of what the Debian packages contain, in dist/xdpctl.cdx.json"
	@echo "make release KEY=ID   packages, signed apt repository, SBOM, notes, checksums; test-release: with a key of its own"
	@echo "make fuzz SECONDS=600   random rules and packets against the reference, and every parser of outside input"
	@echo "make fleet-scale   how a fleet of many nodes and rules scales; rehearsals CORPUS=DIR: recorded attacks; both write their pages"
	@echo "make openapi schema proto   regenerate the API's document, the schema of the settings, etcd's messages; lock: pins dependencies"
	@echo "make pictures   the pictures of the documentation, in docs/img"
	@echo "make people  installs the programs that make harm needs, from the distribution"
	@echo "make dist    the wheel and the source archive in dist/"
	@echo "make setup   distribution packages, virtual environment, locked dependencies; clean: removes what make made"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "xdpctl needs Python 3.11 or newer as $(PYTHON)"; exit 1; }
	@sh packaging/need.sh $(APT)
	@sh packaging/user.sh
	@$(PYTHON) -c 'import bcc; bcc.BPF' || { echo 'bcc is not importable by $(PYTHON). It comes\
	 from the distribution (python3-bpfcc), never from the package index'; exit 1; }
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv --clear --system-site-packages $(VENV)
	@$(BIN)/python -m pip install --quiet --no-warn-conflicts --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/xdpctl demo

unit: setup
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile tests/unit $(ARGS)

# Three at a time, also on two cores: many tests wait for something. The tests of a file run one after
# the other.
test: setup
	@$(BIN)/python -m tools.contained $(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(C_FILES)

bench: setup
	@sh packaging/need.sh xdp-tools nftables
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.report.plots bench.json docs/results/img
	@$(BIN)/python -m bench.report.page bench.json docs/results/performance.md

nanoseconds: setup
	@mkdir -p dist
	@$(BIN)/python -m bench.growth dist/growth.json
	@$(BIN)/python -m bench.growth.page dist/growth.json docs/results

morning: setup
	@sh packaging/need.sh chromium
	@$(BIN)/python -m tests.lab.morning.page docs/results > /tmp/incident.html
	@chromium --headless --no-sandbox --hide-scrollbars --window-size=1000,1320 \
	  --screenshot=docs/results/img/incident.png /tmp/incident.html 2>/dev/null
	@rm /tmp/incident.html

detection: setup
	@sh packaging/need.sh hping3 nmap
	@$(BIN)/python -m bench.detection.page docs/results $(CORPUS)

people:
	@sh packaging/need.sh $(PEOPLE)

harm: setup people
	@mkdir -p dist
	@$(BIN)/python -m bench.harm dist/harm.json
	@$(BIN)/python -m bench.harm.beside dist/people.json
	@$(BIN)/python -m bench.harm.page dist/harm.json dist/people.json docs/results
	@$(BIN)/python -m bench.harm.trials

fleet: setup
	@sh packaging/need.sh etcd-server etcd-client nftables
	@$(BIN)/python -m tests.lab.fleet.page docs/results

fleet-jepsen: setup
	@sh packaging/need.sh etcd-server etcd-client nftables faketime
	@$(BIN)/python -m tests.lab.fleet.jepsen $(or $(SECONDS),900) dist/jepsen.json $(SEED)
	@$(BIN)/python -m tests.fleet.jepsen.checker dist/jepsen.json && echo "everything was kept"

fleet-scale: setup
	@sh packaging/need.sh etcd-server
	@mkdir -p dist
	@$(BIN)/python -m bench.fleet.scale dist/fleet-scale.json
	@$(BIN)/python -m bench.fleet.scale_page dist/fleet-scale.json docs/results

upstream: setup
	@sh packaging/need.sh frr gobgpd bird2 nftables
	@$(BIN)/python -m tests.lab.upstream.page docs/results

sessions: setup
	@$(BIN)/python -m tests.lab.behind.page docs/results

test-vm: setup
	@sh packaging/need.sh $(VM_APT) $(if $(filter arm64,$(KERNEL)),qemu-system-arm)
	@$(BIN)/python -m tests.vm $(or $(KERNEL),6.12) --set $(or $(SET),quick)

test-vm-nics: setup
	@sh packaging/need.sh $(VM_APT)
	@$(BIN)/python -m tests.vm.links

test-vm-inline: setup
	@sh packaging/need.sh $(VM_APT)
	@$(BIN)/python -m tests.vm.inline $(if $(KERNEL),--kernel $(KERNEL))

vagrant-box: setup
	@sh packaging/need.sh mmdebstrap extlinux syslinux-common fdisk qemu-utils e2fsprogs vagrant
	@mkdir -p dist
	@vagrant/box.sh dist/xdpctl-trixie.box trixie
	@vagrant box add --force --name xdpctl/trixie dist/xdpctl-trixie.box

vagrant-demo: setup
	@$(BIN)/python -m tests.vm.vagrant $(ARGS)

test-vm-life: setup
	@sh packaging/need.sh $(VM_APT) $(DEB_APT)
	@packaging/deb/build.sh dist
	@$(BIN)/python -m tests.vm.next_version dist/next
	@cd dist/next && VERSION_SUFFIX=+next TOOLS=$(CURDIR)/$(BIN)/python packaging/deb/build.sh $(CURDIR)/dist
	@rm -r dist/next
	@$(BIN)/python -m tests.vm.life dist/xdpctl_$(VERSION)_*.deb dist/xdpctl_$(VERSION)+next_*.deb

man: setup
	@rm -rf dist/man
	@$(BIN)/python -m tools.man dist/man

deb: setup
	@sh packaging/need.sh $(DEB_APT)
	@packaging/deb/build.sh dist

lint-deb: deb
	@sh packaging/need.sh lintian
	@lintian --fail-on error dist/xdpctl_$(VERSION)_*.deb dist/xdpctl-*_$(VERSION)_*.deb

test-distros: setup
	@sh packaging/need.sh mmdebstrap ubuntu-keyring iproute2 util-linux
	@packaging/test-distros.sh $(SUITES)

image: deb
	@sh packaging/need.sh mmdebstrap umoci skopeo
	@packaging/image.sh dist dist/xdpctl_$(VERSION)_*.deb

test-image: image
	@sh packaging/need.sh iputils-ping procps
	@packaging/test-image.sh dist

test-ansible: deb
	@sh packaging/need.sh mmdebstrap ansible-core ansible-lint openssh-client procps
	@cd packaging/ansible && ansible-lint --offline --nocolor -q roles/xdpctl site.yml
	@packaging/test-ansible.sh dist/xdpctl_$(VERSION)_*.deb

test-fleet: deb
	@sh packaging/need.sh mmdebstrap procps
	@packaging/test-fleet.sh dist/xdpctl_$(VERSION)_*.deb dist/xdpctl-fleet_$(VERSION)_*.deb

test-clients: setup
	@sh packaging/need.sh default-jre-headless golang-go nodejs node-typescript
	@$(BIN)/python -m tests.clients

test-wheel: setup
	@sh packaging/need.sh iputils-ping
	@packaging/test-wheel.sh

test-vm-all: setup
	@sh packaging/need.sh $(VM_APT) qemu-system-arm
	@$(BIN)/python -m tests.vm --set whole

rehearsals: setup
	@test -d "$(CORPUS)" || { echo "make rehearsals CORPUS=DIR, which has attack/ and legit/"; exit 1; }
	@$(BIN)/python -m bench.measure.rehearsals tests/corpus_signatures.ndjson \
	  $(CORPUS)/attack/* $(CORPUS)/legit/* > docs/results/rehearsals.md

fuzz: setup
	@XDPCTL_FUZZ_SECONDS=$(or $(SECONDS),300) $(BIN)/python -m pytest -q \
	  --timeout=0 tests/kernel/test_reference.py tests/fuzz

pictures: setup
	@sh packaging/need.sh chromium
	@$(BIN)/python -m tools.pictures
	@mkdir -p dist
	@$(BIN)/xdpctl demo > dist/demo.txt || { cat dist/demo.txt; exit 1; }
	@$(BIN)/python -m tools.moving docs/img/demo.svg < dist/demo.txt
	@$(BIN)/python -m tests.browser.pictures

proto: setup
	@cd xdpctl/fleet/engine && $(CURDIR)/$(BIN)/python -m grpc_tools.protoc -I. --python_out=. etcd.proto

openapi: setup
	@$(BIN)/python -c 'import json; from xdpctl_api.app import openapi; \
	  print(json.dumps(openapi(), indent=1))' > docs/reference/openapi.json

schema: setup
	@$(BIN)/python -c 'import json; from xdpctl.config.file import schema; \
	  print(json.dumps(schema(), indent=1))' > docs/reference/config.schema.json

# The site fetches nothing from other hosts, and a dead link or anchor stops the build.
docs: setup docs/img/architecture.svg
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	@! grep -rnE --include='*.html' '<(script|link|img|iframe)[^>]+(src|href)="?(https?:)?//' dist/site \
	  || { echo "a page fetches from another host"; exit 1; }
	@echo "dist/site: python3 -m http.server --directory dist/site"

# Kept as it is where graphviz is not installed.
docs/img/architecture.svg: docs/img/architecture.dot
	@if command -v dot >/dev/null; then dot -Tsvg $< >$@; \
	  else echo "graphviz is not installed: $@ stays as it is"; fi

lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 --all-extras --group dev pyproject.toml --output-file requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 packaging/sbom.in --output-file packaging/sbom.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 packaging/deb/numpy.in --output-file packaging/deb/numpy.lock

sbom: deb
	@packaging/sbom.sh dist/xdpctl.cdx.json dist/xdpctl_$(VERSION)_*.deb dist/xdpctl-*_$(VERSION)_*.deb

release: setup
	@sh packaging/need.sh apt-utils gnupg $(DEB_APT)
	@test -n "$(KEY)" || { echo 'give the signing key of gpg: make release KEY=releases@example.org'; exit 2; }
	@packaging/release.sh dist/release "$(KEY)"

test-release: setup
	@sh packaging/need.sh apt-utils gnupg $(DEB_APT)
	@packaging/test-release.sh

dist: setup
	$(BIN)/python -m hatchling build

clean:
	rm -rf $(VENV) dist bench.json .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
