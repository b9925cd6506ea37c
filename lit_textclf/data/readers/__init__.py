"""One file for each input format; each gives tables of strings."""
