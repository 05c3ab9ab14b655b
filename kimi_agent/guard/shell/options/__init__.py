"""Allow lists of options: for each known command those that only do what the command's name says."""
