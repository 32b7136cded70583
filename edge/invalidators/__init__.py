"""How a cache is told that something changed."""
