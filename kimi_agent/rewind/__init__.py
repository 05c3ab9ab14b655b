"""Going back: chat, files or both, to any turn, and forward again; the one place that faces use for it."""

from kimi_agent.rewind.note import taken_back
from kimi_agent.rewind.rewinder import Rewinder
from kimi_agent.rewind.values import Done, Plan, Turn

__all__ = ["Done", "Plan", "Rewinder", "Turn", "taken_back"]
