"""What happened: attacks as they were told, what was done, and what came of it."""
