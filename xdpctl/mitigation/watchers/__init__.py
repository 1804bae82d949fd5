"""mitigation: watchers."""
