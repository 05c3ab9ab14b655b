"""Permission checks: policy and rules, shell parsing, destructive commands, folder trust, and tool wrappers."""
