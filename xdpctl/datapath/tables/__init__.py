"""datapath: tables."""
