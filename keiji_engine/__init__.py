"""The engine: schedules and runs the tasks of a workspace."""
