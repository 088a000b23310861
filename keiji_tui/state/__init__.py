"""What the terminal knows. Pure: nothing here imports Textual."""
