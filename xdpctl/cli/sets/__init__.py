"""Commands for sets, their lists, and sets of countries."""
