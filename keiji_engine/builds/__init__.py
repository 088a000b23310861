"""From a task folder to something immutable to run."""
