"""lab: replay."""
