"""What a rule matches: FlowSpec's components, in text, JSON and order. Pure."""
