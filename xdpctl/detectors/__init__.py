"""What detectors say, each in its own format, as events. Pure: bytes in, events out."""
