"""Retries and rate limiting around a model."""
