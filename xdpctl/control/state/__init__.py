"""control: state."""
