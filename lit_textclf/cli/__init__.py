"""The command line: parses the arguments and runs one command."""
