"""From what a detector says to rules: what is done about which attack, and how it ends."""
