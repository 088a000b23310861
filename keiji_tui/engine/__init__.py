"""Access to the engine: the link, directives, and the engine's own logs."""
