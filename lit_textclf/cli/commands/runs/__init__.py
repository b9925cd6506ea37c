"""Commands that train several times, or compare runs."""
