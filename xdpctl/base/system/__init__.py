"""base: system."""
