"""Entry point of `python -P -m kimi_agent`: the same program as the console script `kimi-agent`."""

from kimi_agent.cli import console_main

if __name__ == "__main__":
    console_main()
