"""Sets: named lists of prefixes with one action, replaced as a whole."""
