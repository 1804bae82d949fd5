"""What makes files for packages; none of it is installed."""
