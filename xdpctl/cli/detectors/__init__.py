"""Commands for detectors: what they may do, following them, delivering what they report."""
