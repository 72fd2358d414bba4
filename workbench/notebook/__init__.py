"""mlim from Python: recipes that are run, models that are asked, and how both look in a notebook (docs/api.md)."""
