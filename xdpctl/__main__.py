"""`python -m xdpctl`, the same as the `xdpctl` command."""

from xdpctl.cli import main

main()
