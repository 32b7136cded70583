"""The ranking model: definition, training view, export."""
