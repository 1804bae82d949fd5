"""Captures run through the real filter without a network: what rules would have done."""
