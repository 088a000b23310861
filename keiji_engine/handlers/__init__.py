"""What the engine does about each request: one file per verb."""
