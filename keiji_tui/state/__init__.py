"""The state of the terminal. Pure: nothing here imports Textual."""
