"""Project detection for test runs: manifests, interpreters, package scripts."""
