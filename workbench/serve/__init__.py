"""Answers over HTTP, and a page to search by words and pictures."""
