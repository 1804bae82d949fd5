"""Commands for rules: add, list, change, remove; many at once; watching one in monitor mode."""
