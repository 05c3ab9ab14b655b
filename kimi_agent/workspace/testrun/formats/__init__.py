"""Report formats: parsers of what test runners write (JUnit XML, TRX, JSON, their own text)."""
