"""A checkpoint for others: a transformers folder, ONNX, int8, a model card."""
