"""Text formatting and sanitising."""
