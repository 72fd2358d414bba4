"""Find the listings that belong to a text, a picture or both."""
