"""The client facade: requests that work with or without a running engine."""
