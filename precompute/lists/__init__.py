"""The public lists: trending, popular, similar, bought together."""
