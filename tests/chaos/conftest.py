"""A site of its own for every module: these tests kill servers that the others need."""

import random

import pytest

from tests.chaos import site as sites


@pytest.fixture(scope="module")
def start_site():
    """Start a site; stopped when the module is done."""
    contexts = []

    def start(**options):
        contexts.append(sites.running(**options))
        return contexts[-1].__enter__()

    yield start
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def site(start_site):
    return start_site()


@pytest.fixture
def rng(request):
    """The same dice for the same test."""
    return random.Random(request.node.name)
