"""A model for others: a folder for plain transformers, a BERT, ONNX, a model card, and the way to the hub."""
