"""What is learned before the first step: to read pairs, and the head."""
