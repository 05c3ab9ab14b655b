"""`kimi-agent demo`: the main job on a small real repository, over real HTTP; only the model's words are scripted."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from kimi_agent.demo.mock import mock_server, paced
from kimi_agent.demo.repository import make_repository, stat_of
from kimi_agent.errors import UserError

HERE = Path(__file__).resolve().parent
