"""model: match."""
