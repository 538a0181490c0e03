//! Answers in every order, record by record.

use super::*;

const NOW: UnixMillis = UnixMillis(600_000_000);
const PERIOD: Duration = Duration::from_secs(10);
/// A minute, at whose beginning `NOW` is.
const WINDOW: Window = Window { limit: 100, length: Duration::from_secs(60) };

fn after(millis: u64) -> UnixMillis {
    UnixMillis(NOW.0 + millis)
}

/// A record that holds `units` of its own, which it owes.
fn owing(units: u32) -> Ledger {
    Ledger::begin(&[WINDOW], NOW).charged(units).owing(units)
}

fn push(record: Ledger) -> (Ledger, Claim) {
    let (left, units) = Claim::push(record, NOW, NOW, PERIOD);
    (left.clone(), Claim::of(Carrier::Push, left, units))
}

fn ask(record: Ledger, units: u32) -> (Ledger, Claim) {
    let left = Claim::ask(record, units, NOW, PERIOD);
    (left.clone(), Claim::of(Carrier::Request, left, units))
}

/// The engine's counts at a time.
fn says(current: u32, at: UnixMillis) -> Vec<(Window, Counts)> {
    vec![(WINDOW, Counts { span: window::span(WINDOW, at), previous: 0, current })]
}

/// Counts of the last minute and of this, what is owed, and what is in flight.
fn state(record: &Ledger) -> [u32; 4] {
    let counts = record.windows[0].1;
    [counts.previous, counts.current, record.owed, record.in_flight.total()]
}

#[test]
fn a_push_and_a_question_may_be_answered_in_either_order() {
    let (record, pushed) = push(owing(5));
    let (record, asked) = ask(record, 1);
    let record = record.charged(2).owing(2);
    assert_eq!(state(&record), [0, 8, 2, 6]);
    // The push arrives at 10, the question at 20.
    let (push, question) = ((&pushed, says(5, after(10)), after(10)), (&asked, says(6, after(20)), after(20)));
    for [first, second] in [[&push, &question], [&question, &push]] {
        let record =
            [first, second].iter().fold(record.clone(), |record, (claim, counts, at)| record.told(claim, counts, *at));
        assert_eq!((state(&record), record.synced), ([0, 8, 2, 0], after(20)));
    }
    // The same, in one millisecond.
    let (push, question) = ((&pushed, says(5, after(10)), after(10)), (&asked, says(6, after(10)), after(10)));
    for [first, second] in [[&push, &question], [&question, &push]] {
        let record =
            [first, second].iter().fold(record.clone(), |record, (claim, counts, at)| record.told(claim, counts, *at));
        assert_eq!(state(&record), [0, 8, 2, 0]);
    }
}

#[test]
fn other_nodes_units_come_with_an_answer_and_the_engines_word_stands() {
    let (record, pushed) = push(owing(5));
    assert_eq!(state(&record.told(&pushed, &says(50, after(10)), after(10))), [0, 50, 0, 0]);
    // An operator has given the budget back.
    assert_eq!(state(&record.told(&pushed, &says(0, after(10)), after(10))), [0, 0, 0, 0]);
}

#[test]
fn units_without_an_answer_are_owed_if_they_were_admitted_and_else_given_back() {
    let (record, pushed) = push(owing(5));
    assert_eq!(state(&record.not_told(&pushed)), [0, 5, 5, 0]);
    let (record, asked) = ask(owing(5), 1);
    assert_eq!(state(&record.not_told(&asked)), [0, 6, 6, 0]);
    assert_eq!(state(&record.withdrawn(&asked)), [0, 5, 5, 0]);
}

#[test]
fn what_was_given_up_is_owed_once_and_its_answer_takes_nothing() {
    let (record, pushed) = push(owing(5));
    let (record, units) = Claim::push(record, after(20_000), after(20_000), PERIOD);
    assert_eq!((units, state(&record)), (5, [0, 5, 0, 5]), "the next push tells it");
    assert_eq!(state(&record.not_told(&pushed)), [0, 5, 0, 5]);
    assert_eq!(state(&record.told(&pushed, &says(5, after(10)), after(10))), [0, 10, 0, 5], "it may count twice");
}

#[test]
fn a_record_that_was_lost_and_made_again_keeps_what_was_admitted_and_what_is_in_flight() {
    let (_, pushed) = push(owing(5));
    let (_, asked) = ask(owing(0), 3);
    let (again, _) = push(owing(2));
    assert_eq!(state(&again.not_told(&pushed)), [0, 7, 5, 2]);
    assert_eq!(state(&again.not_told(&asked)), [0, 5, 3, 2]);
    assert_eq!(state(&again.withdrawn(&asked)), [0, 2, 0, 2]);
    assert_eq!(state(&again.told(&pushed, &says(5, after(10)), after(10))), [0, 7, 0, 2]);
}

#[test]
fn units_are_taken_from_the_span_that_holds_them() {
    let minute = 60_000;
    // Sent before the turn of the minute, and withdrawn after it.
    let (record, asked) = ask(owing(5), 1);
    let turned = |record: &Ledger, at: UnixMillis| {
        let windows = record.windows.iter().map(|(window, counts)| (*window, counts.at(*window, at))).collect();
        Ledger { windows, ..record.clone() }
    };
    assert_eq!(state(&turned(&record, after(minute)).withdrawn(&asked)), [5, 0, 5, 0]);
    // The counts were taken over in the new minute, and so is what is in flight.
    let (record, pushed) = push(record);
    let record = record.told(&pushed, &says(5, after(minute)), after(minute));
    assert_eq!((state(&record), state(&record.withdrawn(&asked))), ([0, 6, 0, 1], [0, 5, 0, 0]));
}

#[test]
fn an_answer_from_before_the_turn_of_a_window_leaves_the_present_span_as_full_as_it_is() {
    let (record, asked) = ask(Ledger::begin(&[WINDOW], after(60_000)), 1);
    let record = record.charged(9).owing(9);
    let record = record.told(&asked, &says(40, after(59_999)), after(59_999));
    assert_eq!((state(&record), record.windows[0].1.span), ([40, 9, 9, 0], window::span(WINDOW, after(60_000))));
}

#[test]
fn an_answer_after_nothing_else_was_taken_over_is_the_latest_whatever_the_clock_says() {
    let (record, first) = ask(owing(0), 1);
    let record = record.told(&first, &says(1, after(5000)), after(5000));
    let (record, second) = ask(record, 1);
    let record = record.told(&second, &says(2, after(1000)), after(1000));
    assert_eq!((state(&record), record.synced), ([0, 2, 0, 0], after(1000)));
}
