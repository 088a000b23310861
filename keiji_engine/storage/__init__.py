"""Storage: tasks, builds, runs and directives in an SQL database."""
