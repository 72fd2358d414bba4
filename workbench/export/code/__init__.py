"""Copied into an exported folder as it is: imports nothing but torch, transformers, tokenizers, numpy and Pillow."""
