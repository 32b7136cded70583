"""A made shop whose truth is known."""
