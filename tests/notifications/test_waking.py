import json
import threading
import time

from notifications import waking
from notifications.waking import APPLY_EVENTS, Waker
from outreach.celery import app


class Broker:
    """Notes when it was asked; `answer` is what it says, after `seconds`."""

    def __init__(self, answer=True, seconds=0.0):
        self.answer, self.seconds = answer, seconds
        self.asked = []

    def __call__(self):
        self.asked.append(time.monotonic())
        time.sleep(self.seconds)
        return self.answer

    def wait_for(self, times):
        for _ in range(500):
            if len(self.asked) >= times:
                return
            time.sleep(0.01)
        raise AssertionError(f"asked {len(self.asked)} times, not {times}")


def test_a_worker_is_woken_after_an_event():
    broker = Broker()

    Waker(broker).wake()

    broker.wait_for(1)


def test_many_events_wake_few_times_and_the_last_of_them_too():
    broker = Broker()
    waker = Waker(broker, interval=0.5)
    waker.wake()
    broker.wait_for(1)

    for _ in range(50):
        waker.wake()

    broker.wait_for(2)
    assert broker.asked[1] - broker.asked[0] >= 0.5
    assert len(broker.asked) == 2


def test_a_frozen_broker_holds_no_request():
    waker = Waker(Broker(seconds=5), interval=0.0)

    began = time.monotonic()
    for _ in range(20):
        waker.wake()

    # Waiting for each would take a hundred seconds.
    assert time.monotonic() - began < 4


def test_after_a_failure_the_broker_is_left_alone_for_a_while():
    broker = Broker(answer=False)
    waker = Waker(broker, interval=0.0, after_failure=60)
    waker.wake()
    for _ in range(600):
        if waker._not_before > time.monotonic() + 30:
            break
        time.sleep(0.05)

    waker.wake()
    time.sleep(0.1)

    assert len(broker.asked) == 1


def test_the_task_that_is_published_exists():
    app.loader.import_default_modules()

    assert APPLY_EVENTS in app.tasks


def test_a_waiting_thread_does_not_keep_the_process():
    broker = Broker()
    waker = Waker(broker, interval=60)
    waker.wake()
    broker.wait_for(1)

    waker.wake()

    waiting = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert waiting
    assert all(thread.daemon for thread in waiting)


def test_a_wake_that_no_worker_takes_expires(redis):
    waking.apply_events_soon.__self__._publish()

    assert json.loads(redis.lindex("events", 0))["headers"]["expires"]
