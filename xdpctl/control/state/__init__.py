"""What stands (`state`), what is about to change (`draft`), and which entries cover an address."""
