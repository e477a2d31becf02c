"""The lease table: idempotent, ordered by dependencies, fenced by tokens."""

import threading
import time

import pytest

from auditor.errors import NotFound
from auditor.jobs.protocol import MAX_ATTEMPTS, MAX_ERRORS, LeaseLost
from auditor.jobs.queue import SqliteQueue
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger


def entry(name: str) -> Entry:
    return Entry(kind="gap", source="worker", body={"what": name, "why": "test", "run": None, "record": None})


class TestEnqueue:
    def test_the_same_job_twice_is_one_job(self, queue, spec) -> None:
        assert queue.enqueue([spec.of("a"), spec.of("b")]) == ["a", "b"]
        queue.enqueue([spec.of("a")])
        assert queue.counts() == {"queued": 2, "running": 0, "done": 0, "failed": 0, "cancelled": 0}

    def test_a_done_job_is_not_run_again(self, queue, spec) -> None:
        queue.enqueue([spec.of("a")])
        (job,) = queue.claim("w")
        queue.complete("a", job.token, [entry("x")])
        queue.enqueue([spec.of("a")])
        assert queue.claim("w") == []

    def test_a_cancelled_job_is_tried_again_when_asked_for_again(self, queue, spec) -> None:
        queue.enqueue([spec.of("a")])
        assert queue.cancel("r") == 1
        assert queue.claim("w") == []
        queue.enqueue([spec.of("a")])
        assert [job.id for job in queue.claim("w")] == ["a"]

    def test_jobs_and_the_record_that_asked_for_them_come_together_or_not_at_all(self, queue, ledger, spec) -> None:
        ledger.append([entry("asked")], fence=queue.outbox([spec.of("a")]))
        assert queue.job("a").state == "queued"

        def broken(connection: object) -> None:
            queue.outbox([spec.of("b")])(connection)
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            ledger.append([entry("asked")], fence=broken)
        with pytest.raises(NotFound):
            queue.job("b")
        assert ledger.head().position == 0


class TestClaim:
    def test_a_job_waits_until_all_it_depends_on_has_ended(self, queue, spec) -> None:
        queue.enqueue([spec.of("judge", depends=("a", "b")), spec.of("a"), spec.of("b")])
        first, second = queue.claim("w", 5)
        assert [first.id, second.id] == ["a", "b"]
        queue.complete("a", first.token, [])
        assert queue.claim("w") == []
        queue.fail("b", second.token, "broken", retry=False)
        assert [job.id for job in queue.claim("w")] == ["judge"]

    def test_jobs_of_the_loaded_model_come_first_then_the_oldest(self, queue, spec) -> None:
        queue.enqueue([spec.of("a", model="m1"), spec.of("b", model="m2"), spec.of("c", model="m2"), spec.of("d")])
        assert [job.id for job in queue.claim("w", 3, loaded="m2")] == ["b", "c", "a"]

    def test_only_kinds_with_a_handler_are_taken(self, queue, spec) -> None:
        queue.enqueue([spec.of("a"), spec.of("j", kind="judge")])
        assert [job.id for job in queue.claim("w", 5, kinds=["judge"])] == ["j"]

    def test_a_leased_job_is_handed_out_again_only_when_the_lease_has_run_out(self, queue, clock, spec) -> None:
        queue.enqueue([spec.of("a")])
        (first,) = queue.claim("w1", lease=30)
        clock.now += 20
        queue.heartbeat("a", first.token, 30)
        clock.now += 20
        assert queue.claim("w2") == []
        clock.now += 11
        (second,) = queue.claim("w2")
        assert (second.attempt, second.owner) == (2, "w2")
        with pytest.raises(LeaseLost):
            queue.heartbeat("a", first.token)

    def test_two_claimants_never_get_the_same_job(self, ledger: SqliteLedger, spec) -> None:
        queues = [SqliteQueue(ledger.path, ledger) for _ in range(4)]
        queues[0].enqueue([spec.of(f"j{i}") for i in range(60)])
        taken: list[str] = []

        def take(own: SqliteQueue) -> None:
            while claimed := own.claim("w", 2):
                taken.extend(job.id for job in claimed)

        threads = [threading.Thread(target=take, args=(own,)) for own in queues]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == sorted(f"j{i}" for i in range(60))
        for own in queues:
            own.close()


class TestComplete:
    def test_results_and_the_mark_are_one_transaction(self, queue, ledger, spec) -> None:
        queue.enqueue([spec.of("a")])
        (job,) = queue.claim("w")
        stored = queue.complete("a", job.token, [entry("x"), entry("y")])
        assert [one.record.body["what"] for one in stored] == ["x", "y"]
        assert queue.job("a").state == "done"

    def test_a_stale_token_appends_nothing(self, queue, ledger, clock, spec) -> None:
        queue.enqueue([spec.of("a")])
        (old,) = queue.claim("w1", lease=1)
        clock.now += 2
        (new,) = queue.claim("w2")
        with pytest.raises(LeaseLost):
            queue.complete("a", old.token, [entry("stale")])
        assert ledger.head().position == -1
        queue.complete("a", new.token, [entry("fresh")])
        with pytest.raises(LeaseLost):
            queue.complete("a", new.token, [entry("twice")])
        assert [one.record.body["what"] for one in ledger.records()] == ["fresh"]

    def test_a_cancelled_job_appends_nothing(self, queue, ledger, spec) -> None:
        queue.enqueue([spec.of("a")])
        (job,) = queue.claim("w")
        queue.cancel("r")
        with pytest.raises(LeaseLost):
            queue.complete("a", job.token, [entry("x")])
        assert ledger.head().position == -1


class TestFail:
    def test_three_errors_end_a_job_with_a_gap_record(self, queue, ledger, clock, spec) -> None:
        queue.enqueue([spec.of("a")])
        for turn in range(MAX_ERRORS):
            (job,) = queue.claim("w")
            state = queue.fail("a", job.token, f"error {turn}")
            assert state == ("failed" if turn == MAX_ERRORS - 1 else "queued")
            assert queue.claim("w") == [], "there is a pause before the next try"
            clock.now += 60
        (gap,) = ledger.records(kinds=["gap"])
        assert (gap.record.body["why"], gap.record.body["run"]) == ("error 2", "r")
        assert queue.job("a").error == "error 2"

    def test_a_job_that_kills_its_workers_is_failed_in_the_end(self, queue, ledger, clock, spec) -> None:
        queue.enqueue([spec.of("poison"), spec.of("good")])
        for _ in range(MAX_ATTEMPTS):
            queue.claim("w", 1, lease=1)
            clock.now += 2
        queue.claim("w", 1)
        assert queue.job("poison").state == "failed"
        (gap,) = ledger.records(kinds=["gap"])
        assert "12 times" in gap.record.body["why"]

    def test_what_was_concluded_without_a_failed_job_is_concluded_anew(self, queue, clock, spec) -> None:
        jobs = [spec.of("prep", "prepare"), spec.of("e", depends=("prep",)), spec.of("j", "judge", depends=("e",))]
        queue.enqueue(jobs)
        (prep,) = queue.claim("w")
        queue.fail("prep", prep.token, "broken", retry=False)
        for name in ("e", "j"):
            (job,) = queue.claim("w")
            assert job.id == name
            queue.complete(name, job.token, [])
        queue.enqueue(jobs)
        assert [queue.job(one).state for one in ("prep", "e", "j")] == ["queued"] * 3
        (prep,) = queue.claim("w")
        queue.complete("prep", prep.token, [])
        queue.enqueue(jobs)
        assert queue.job("prep").state == "done", "what went well is not run twice"

    def test_a_released_job_does_not_count_the_attempt(self, queue, spec) -> None:
        queue.enqueue([spec.of("a")])
        (job,) = queue.claim("w")
        queue.release("a", job.token)
        assert queue.claim("w")[0].attempt == 1


class TestWatching:
    def test_progress_is_visible_and_needs_the_token(self, queue, spec) -> None:
        queue.enqueue([spec.of("a")])
        (job,) = queue.claim("w")
        queue.progress("a", job.token, 3, 8, "swap arm")
        seen = queue.job("a")
        assert (seen.done, seen.total, seen.note, seen.token) == (3, 8, "swap arm", None)
        with pytest.raises(LeaseLost):
            queue.progress("a", "other", 1, 1, "")

    def test_a_run_shows_the_preparations_it_waits_for(self, queue, spec) -> None:
        queue.enqueue([spec.of("p", kind="prepare", run=None), spec.of("a", depends=("p",)), spec.of("z", run="other")])
        assert [job.id for job in queue.jobs("r")] == ["p", "a"]
        assert [job.id for job in queue.jobs(states=["queued"])] == ["p", "a", "z"]

    def test_waiting_ends_when_another_process_enqueues(self, queue, ledger, spec) -> None:
        other = SqliteQueue(ledger.path, ledger)
        mark = queue.mark()
        assert not queue.wait(mark, 0.05)
        threading.Timer(0.1, lambda: other.enqueue([spec.of("a")])).start()
        begun = time.monotonic()
        assert queue.wait(mark, 5)
        assert time.monotonic() - begun < 1
        assert queue.wait(mark, 5), "what happened before the call is not missed"
        other.close()
