"""The daemon: it keeps the schedules and runs the tasks."""
