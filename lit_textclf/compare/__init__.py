"""Runs side by side: settings, metrics, and whether they differ by more than chance; without torch and Lightning."""
