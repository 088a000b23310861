"""What is due, and waiting until then."""
