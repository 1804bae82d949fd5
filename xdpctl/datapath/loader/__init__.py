"""datapath: loader."""
