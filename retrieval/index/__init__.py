"""Vector indexes, one small file a backend."""
