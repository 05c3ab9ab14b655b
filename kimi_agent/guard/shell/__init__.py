"""Shell parsing: words, simple commands, launchers, program names, risky options."""
