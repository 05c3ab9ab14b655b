"""The terminal screen: keys, bottom rows, approvals, input history."""
