"""detectors: follow."""
