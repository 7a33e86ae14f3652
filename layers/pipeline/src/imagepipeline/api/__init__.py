"""The HTTP API: what its requests may say, and what it answers."""
