"""A fork server for the attacks: a run costs a tenth of a start."""

from collections.abc import Iterator

import pytest

from tests.cli.fork_server import ForkServer


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()
