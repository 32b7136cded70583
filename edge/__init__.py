"""Everything that is not personal, as content-addressed objects close to the customer."""
