"""The item and user towers that put users and items into one space."""
