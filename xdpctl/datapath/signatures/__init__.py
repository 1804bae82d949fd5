"""datapath: signatures."""
