"""`python -P -m kimi_agent` is `kimi-agent`."""

from kimi_agent.cli import console_main

if __name__ == "__main__":
    console_main()
