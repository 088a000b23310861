"""Logs as they are read: parsed, made safe, and kept in bounded memory."""
