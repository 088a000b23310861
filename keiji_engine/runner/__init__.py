"""Starting, watching and stopping runs; all of it standard library."""
