"""Test report parsers: JUnit XML, TRX, JSON reports and the output of runners."""
