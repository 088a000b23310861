"""Starts, watches and stops runs. Standard library only."""
