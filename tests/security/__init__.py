"""A test for each attack that once worked; docs/explanation/boundaries.md lists them."""
