"""`python -P -m kimi_agent` is `kimi-agent`."""

from kimi_agent.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
