"""The online program: HTTP in, recommendations out, never an error while a release is loaded."""
