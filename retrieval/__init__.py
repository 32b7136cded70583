"""Candidate generation: the encoder, the vector indexes, item-to-item channels and how they merge."""
