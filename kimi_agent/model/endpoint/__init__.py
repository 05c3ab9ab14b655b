"""Endpoint configuration: profiles of hosts, and API keys."""
