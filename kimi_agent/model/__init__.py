"""Model access: the `Model` protocol, HTTP client, wrappers (budget, retry, rate limit), tapes, mock server."""
