"""Tests that make sense inside a virtual machine alone."""
