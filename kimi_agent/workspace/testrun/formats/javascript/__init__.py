"""Parsers of the reports of JavaScript test runners."""
