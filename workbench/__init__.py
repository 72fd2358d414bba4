"""mlim: from a shop's own catalog to a vision-and-language model (MLIM, arXiv 2109.12178)."""

__version__ = "0.1.0"
