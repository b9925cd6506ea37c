"""The classifier's half of label tasks: loss, probabilities, decisions, thresholds."""
