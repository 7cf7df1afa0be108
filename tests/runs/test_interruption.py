from __future__ import annotations

import signal
import threading

import pytest

from inklings.runs.interruption import SIGNALS, Interruption


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    asked = []
    with Interruption() as interruption:
        asked.append(interruption.asked)
        signal.raise_signal(number)
        asked.append(interruption.asked)
    assert asked == [False, True]
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell starts what runs in the background with it ignored
    with pytest.raises(KeyboardInterrupt), Interruption():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_once_means_outside_of_what_saves_first(number: signal.Signals) -> None:
    with Interruption() as outer:
        with pytest.raises(KeyboardInterrupt), Interruption(at_once=True):
            signal.raise_signal(number)
            pytest.fail("it went on")
        assert outer.asked
    with Interruption(at_once=True) as around:
        with Interruption() as saves_first:
            signal.raise_signal(number)
        assert saves_first.asked and around.asked


def test_of_blocks_within_one_another_each_learns_of_it() -> None:
    with Interruption() as first:
        pass
    with Interruption() as outer:
        assert not outer.asked and not first.asked
        with Interruption() as middle:
            with Interruption() as inner:
                signal.raise_signal(signal.SIGTERM)
            assert inner.asked
        assert middle.asked
        with Interruption() as later:
            assert later.asked, "what begins after it has nothing to begin"
    assert outer.asked


def test_elsewhere_than_in_the_main_thread_nothing_is_changed() -> None:
    seen = []

    def work() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert not interruption.asked
    finally:
        signal.signal(signal.SIGHUP, before)
