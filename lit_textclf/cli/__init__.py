"""The command line: from what was typed to one command."""
