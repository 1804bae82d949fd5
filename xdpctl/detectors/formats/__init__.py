"""detectors: formats."""
