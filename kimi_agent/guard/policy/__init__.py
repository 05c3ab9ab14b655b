"""The permission policy: modes, rules and trusted folders."""
