"""Who is told of what changed. Imports mitigation and what is below."""
