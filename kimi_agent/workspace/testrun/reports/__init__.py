"""Reading reports: bounded files, closing lines, cases, and what is shown of a failure."""
