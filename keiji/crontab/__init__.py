"""Crontabs: reading them as cron does, planning tasks for their lines, writing tasks as a crontab."""
