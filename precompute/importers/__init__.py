"""How a shop's files become a dataset: the input contract and the named adapters."""
