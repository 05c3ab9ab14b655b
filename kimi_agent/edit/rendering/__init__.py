"""Edit results rendered: as text for the model, as diffs to look at, as patches that git takes."""
