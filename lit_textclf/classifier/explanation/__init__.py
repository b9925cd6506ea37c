"""Which words of a text speak for a label, and how much: integrated gradients, or occlusion on any engine."""
