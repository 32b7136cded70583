"""Ranking: one feature definition, the model, its scorers, and the batcher in front of them."""
