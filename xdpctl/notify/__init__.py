"""Telling people: what is worth waking somebody for, and getting it to them."""
