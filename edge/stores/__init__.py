"""Where edge objects live."""
