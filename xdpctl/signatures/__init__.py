"""Rules on more than a source: FlowSpec matches, limits, and the tables that decide them."""
