"""Commands on rows, before training."""
