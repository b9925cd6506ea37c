"""The command `compare`: what runs were set to, what they reached, and whether the difference is more than chance."""
