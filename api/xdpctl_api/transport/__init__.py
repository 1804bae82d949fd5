"""HTTP on two listening sockets: who a caller is, how many connections there may be, bodies."""
