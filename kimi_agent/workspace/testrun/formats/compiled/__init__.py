"""Parsers of what the runners of compiled languages print and write: cargo, ctest, go, Gradle, Maven."""
