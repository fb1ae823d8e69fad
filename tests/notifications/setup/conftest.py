"""What the tests of setting up share."""

import pytest

from tests import aws as stand_ins


@pytest.fixture
def aws():
    with stand_ins.clients() as clients:
        yield clients
