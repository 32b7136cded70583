"""Where edge objects are kept."""
