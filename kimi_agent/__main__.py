"""`python -P -m kimi_agent` is `kimi-agent`."""

from kimi_agent.cli import run

if __name__ == "__main__":
    run()
