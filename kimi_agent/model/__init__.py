"""Asking Kimi: the protocol, the wire, wrappers around a model, tapes and the mock server."""
