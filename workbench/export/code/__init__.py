"""The code of an exported folder: it imports torch, transformers, tokenizers, numpy, Pillow and what inline.py writes
into it."""
