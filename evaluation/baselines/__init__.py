"""Tuned baselines that a release has to beat."""
