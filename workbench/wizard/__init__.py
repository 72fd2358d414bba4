"""`mlim init`: looks at a feed, asks what it can't know, and writes a recipe that runs as it is."""
