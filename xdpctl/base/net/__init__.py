"""Addresses, prefixes and packets: parsing, arrays of prefixes, captures in files.

Imports only base.
"""
