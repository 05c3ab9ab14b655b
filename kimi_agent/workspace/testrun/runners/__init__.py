"""Test runners, one module each: a plug-in folder."""
