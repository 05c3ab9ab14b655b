"""The user's own git repository: commits and pull requests made for them."""
