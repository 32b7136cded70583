"""Where precomputed lists live between the offline and the online program."""
