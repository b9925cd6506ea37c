"""The transformers network: built, made fast, adapted; it knows nothing of Lightning, rows or labels."""
