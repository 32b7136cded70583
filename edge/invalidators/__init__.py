"""What makes caches in front of a store look again."""
