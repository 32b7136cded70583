"""Public lists as content-addressed objects, where the shopper is."""
