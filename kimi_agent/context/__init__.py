"""What stays in the model's window: how full it is, what must not be lost, and how room is made."""
