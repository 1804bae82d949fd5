"""A test for each way in, up or around that was open once; docs/boundaries.md lists them."""
