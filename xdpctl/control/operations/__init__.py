"""control: operations."""
