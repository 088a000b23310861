"""The ledger: tasks, builds, runs and directives in a SQL database."""
