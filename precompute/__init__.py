"""The offline program: import, lists, training, evaluation, releases, publishing, and the CLI."""
