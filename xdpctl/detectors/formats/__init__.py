"""One module for each detector's format: a body's bytes in, events out. Pure."""
