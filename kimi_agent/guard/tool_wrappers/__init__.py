"""Tool wrappers: approval, snapshots, output cap, loop guard."""
