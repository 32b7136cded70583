"""Words, errors, settings, stores, streams, releases and telemetry that every room shares."""
