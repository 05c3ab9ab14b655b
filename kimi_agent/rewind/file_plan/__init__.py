"""The file plan of a rewind: who made each change, what goes back, what is left and why."""
