"""Edit planning: what a patch or a replacement makes of each file, before anything is written."""
