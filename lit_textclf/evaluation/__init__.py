"""What the outcomes of an evaluation say: errors, each label's scores, suspected label errors."""
