"""Proof: temporal splits, full-catalogue metrics, tuned baselines, and the report."""
