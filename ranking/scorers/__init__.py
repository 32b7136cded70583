"""Runtimes that score a batch of candidates."""
