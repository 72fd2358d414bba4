"""One network for all tasks of a recipe."""
