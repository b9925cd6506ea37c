"""The label tasks, as the classifier sees them: loss, probabilities, decisions."""
