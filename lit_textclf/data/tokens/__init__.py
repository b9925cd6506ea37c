"""Token ids: the tokenizer, the cache, special tokens, and texts longer than the model reads."""
