"""What each key does: the catalog of actions, key bindings, and the directives behind actions."""
