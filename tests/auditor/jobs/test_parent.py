"""A process that serves a parent ends with it, also when the parent died before it could look."""

import os
import threading

from auditor.jobs.executors.local import stop_with


def test_a_parent_that_is_gone_already_ends_it_at_once() -> None:
    stop = threading.Event()
    stop_with(os.getppid() + 1_000_000, stop)
    assert stop.wait(5)


def test_a_parent_that_lives_does_not() -> None:
    stop = threading.Event()
    stop_with(os.getppid(), stop)
    assert not stop.wait(1.2)
    stop.set()
