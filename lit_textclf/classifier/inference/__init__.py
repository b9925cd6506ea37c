"""From logits to labels and probabilities, in numpy: what a trained model needs besides its weights."""
