"""Context window management: token estimates, shortening of tool results, compaction, preserved facts."""
