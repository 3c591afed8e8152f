"""What pages look at is kept within a bound of memory, the longest unused given up first."""

import random
import sys
import threading

import pytest

from hf_unet.demo.store import Store
from hf_unet.errors import ImageError

GONE = "Segment the image again."


class Weight:
    """A thing of so many bytes; like a result's, they are counted when they are asked for."""

    def __init__(self, nbytes: int) -> None:
        self.parts = [nbytes]

    @property
    def nbytes(self) -> int:
        return sum(part for part in self.parts)


def store(limit: int = 100) -> Store[Weight]:
    return Store(limit, GONE)


def gone(kept: Store[Weight], token: str | None) -> bool:
    try:
        kept.get(token)
    except ImageError as error:
        return str(error) == GONE
    return False


def test_what_is_kept_is_given_back_itself() -> None:
    kept, thing = store(), Weight(1)
    assert kept.get(kept.keep(thing)) is thing
    assert (kept.nbytes, len(kept)) == (1, 1)


def test_up_to_the_limit_all_is_kept_and_one_byte_more_gives_up_the_oldest() -> None:
    kept = store(100)
    tokens = [kept.keep(Weight(50)), kept.keep(Weight(50))]
    assert not any(gone(kept, token) for token in tokens)
    kept.keep(Weight(1))
    assert [gone(kept, token) for token in tokens] == [True, False]
    assert kept.nbytes == 51


def test_what_was_looked_at_last_goes_last() -> None:
    kept = store(100)
    first, second = kept.keep(Weight(50)), kept.keep(Weight(50))
    kept.get(first)
    kept.keep(Weight(50))
    assert not gone(kept, first) and gone(kept, second)


def test_asking_whether_it_is_there_is_no_look() -> None:
    kept = store(100)
    first, second = kept.keep(Weight(50)), kept.keep(Weight(50))
    assert kept.holds(first)
    kept.keep(Weight(50))
    assert not kept.holds(first) and kept.holds(second)


def test_one_thing_above_the_limit_is_kept_alone() -> None:
    kept = store(100)
    small = kept.keep(Weight(10))
    large = kept.keep(Weight(1000))
    assert gone(kept, small) and not gone(kept, large)
    kept.keep(Weight(10))
    assert gone(kept, large)


def test_a_thing_that_grew_counts_with_what_it_weighs_now() -> None:
    kept, growing = store(100), Weight(10)
    old = kept.keep(growing)
    growing.parts.append(85)
    assert kept.nbytes == 95
    kept.keep(Weight(10))
    assert gone(kept, old)


@pytest.mark.parametrize("token", [None, "", "no token"])
def test_a_token_that_never_was_gets_the_same_sentence(token: str | None) -> None:
    kept = store()
    kept.keep(Weight(1))
    assert gone(kept, token)


def test_dropping_makes_room_and_may_be_repeated() -> None:
    kept = store()
    token = kept.keep(Weight(60))
    for _ in range(2):
        kept.drop(token)
    kept.drop(None)
    assert gone(kept, token) and kept.nbytes == 0


def test_tokens_cannot_be_guessed_from_others() -> None:
    kept = store()
    tokens = [kept.keep(Weight(0)) for _ in range(200)]
    assert len(set(tokens)) == 200
    assert min(map(len, tokens)) >= 24  # 18 bytes and more
    for position in range(12):
        assert len({token[position] for token in tokens}) > 20, "a part of a token is not chance"


def test_many_threads_neither_mix_things_nor_pass_the_bound() -> None:
    kept = store(1_000)
    faults: list[str] = []
    visited: list[int] = []
    barrier = threading.Barrier(8)
    between = sys.getswitchinterval()

    def visit(number: int) -> None:
        chance = random.Random(number)
        mine: dict[str, Weight] = {}
        barrier.wait()
        for _ in range(300):
            thing = Weight(chance.randint(1, 200))
            mine[kept.keep(thing)] = thing
            if kept.nbytes > 1_000:
                faults.append("more than the limit")
            token = chance.choice(list(mine))
            try:
                if kept.get(token) is not mine[token]:
                    faults.append("another's thing")
            except ImageError:
                pass
            if chance.random() < 0.2:
                kept.drop(token)
        visited.append(number)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    sys.setswitchinterval(1e-6)  # as often as can be: threads cut in everywhere
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(between)
    assert faults == []
    assert len(visited) == 8, "a thread fell over"
    assert kept.nbytes <= 1_000
