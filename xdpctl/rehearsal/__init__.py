"""Recordings of packets, run through a filter of their own: what would pass, and what drop."""
