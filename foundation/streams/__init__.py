"""How events travel from the API to user state and to the next training."""
