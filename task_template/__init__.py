"""The files of a new task: function.py, schedule.py, main.py and .env are copied into its folder."""
