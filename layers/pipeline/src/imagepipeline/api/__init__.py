"""The HTTP API for products: what its requests may say, and what it answers."""
