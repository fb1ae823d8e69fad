import pytest

from outreach import connections


@pytest.mark.parametrize("url", ["redis://host:6379/0", "rediss://host/0", "redis+socket:///run/redis.sock?virtual_host=0"])
def test_redis_gets_time_outs_against_a_frozen_server(url):
    assert connections.broker_options(url)["socket_timeout"] == 5


def test_rabbitmq_gets_none_of_the_options_of_redis():
    assert connections.broker_options("amqp://guest@host//") == {}


def test_sqs_hides_a_task_longer_than_it_lives():
    assert connections.broker_options("sqs://")["visibility_timeout"] == 3600
