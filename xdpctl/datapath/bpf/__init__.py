"""datapath: bpf."""
