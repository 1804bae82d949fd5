"""Following a detector that does not post: a file that grows, an API, standard input."""
