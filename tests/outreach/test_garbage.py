"""The search for cycles costs a sending worker nothing that matters."""

import gc

import pytest
from celery.signals import worker_before_create_process, worker_process_init

from outreach import celery, garbage


@pytest.fixture
def pythons_own():
    before = gc.get_threshold()
    # Another test of this process may have come before.
    gc.set_threshold(700, 10, 10)
    yield gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(*before)


def test_a_process_of_the_pool_collects_garbage_seldom(pythons_own):
    assert celery.collect_garbage_seldom in [receiver() for _, receiver in worker_process_init.receivers]

    celery.collect_garbage_seldom()

    assert gc.get_threshold()[0] > 10 * pythons_own[0]
    assert gc.get_freeze_count() > 1000


def test_a_worker_shares_what_it_has_loaded_with_its_pool(pythons_own):
    assert celery.fork_cheaply in [receiver() for _, receiver in worker_before_create_process.receivers]
    garbage.share_what_is_loaded.cache_clear()

    celery.fork_cheaply()

    assert gc.get_freeze_count() > 1000
