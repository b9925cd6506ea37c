"""Compares runs: settings, metrics and significance tests, without torch and Lightning."""
