"""`mlim ablate`: variants of a recipe under an equal budget, side by side in one table (docs/ablate.md)."""
