"""What a new task starts as: function.py, schedule.py, main.py and .env are copied into its folder."""
