"""File transactions: many files changed as one, with a journal and recovery."""
