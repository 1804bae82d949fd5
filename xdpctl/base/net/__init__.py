"""base: net."""
