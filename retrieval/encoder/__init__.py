"""The item and user towers that put users and items into one space.

``config``, ``features`` and ``runtime`` never import torch: they are what an API process loads.
"""
