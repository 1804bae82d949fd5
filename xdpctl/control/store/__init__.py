"""control: store."""
