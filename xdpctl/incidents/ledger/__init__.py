"""incidents: ledger."""
