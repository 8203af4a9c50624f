use super::*;

fn connection() -> Rc<Connection> {
    Rc::new(Connection::new(0, 0))
}

#[test]
fn a_head_has_ten_seconds_from_its_first_byte_whichever_request_it_is() {
    let connection = connection();

    connection.look_at(HEAD_MS);
    assert!(!connection.is_cut());
    drop(connection.begin(false));
    connection.look_at(100 * HEAD_MS);
    assert!(!connection.is_cut(), "idle is not slow: nothing has come");
    connection.has_read(1, 100 * HEAD_MS);
    connection.look_at(101 * HEAD_MS + 1);

    assert_eq!(connection.cut.get(), Some(Cut::SlowHead));
    assert_eq!(connection.gate(101 * HEAD_MS + 1), Gate::Cut);
}

#[test]
fn a_request_that_is_being_answered_is_never_a_slow_head() {
    let connection = connection();
    let answering = connection.begin(true);

    connection.has_read(MAX_HEAD_BYTES * 2, 0);
    connection.look_at(HEAD_MS * 3);

    assert!(!connection.is_cut());
    drop(answering);
    assert!(connection.is_idle());
}

#[test]
fn a_burst_is_looked_at_before_more_is_read_and_a_head_has_an_end() {
    let connection = connection();

    connection.has_read(STRANGERS_PORTION_BYTES, 0);
    assert_eq!(connection.gate(0), Gate::Breathe);
    assert_eq!(connection.gate(0), Gate::Open, "once it has been looked at");
    connection.has_read(MAX_HEAD_BYTES - STRANGERS_PORTION_BYTES, 0);
    assert_eq!(connection.gate(0), Gate::Breathe);

    assert_eq!(connection.gate(0), Gate::HeadTooLong);
}

#[test]
fn while_a_request_is_answered_only_its_body_is_read() {
    let connection = connection();
    let answering = connection.begin(true);

    assert_eq!(connection.gate(0), Gate::Withheld);
    connection.wants_body(true);
    assert_eq!(connection.gate(0), Gate::Open);
    connection.wants_body(false);
    assert_eq!(connection.gate(0), Gate::Withheld);
    drop(answering);

    assert_eq!(connection.gate(0), Gate::Open);
}

#[test]
fn whoever_does_not_read_is_not_read_from_until_everything_is_on_its_way() {
    let connection = connection();
    drop(connection.begin(false));

    connection.waits(Side::Write, Waker::noop(), 0);
    assert_eq!(connection.gate(0), Gate::Withheld);
    connection.has_written(10);
    assert_eq!(connection.gate(0), Gate::Withheld);
    connection.has_flushed();

    assert_eq!(connection.gate(0), Gate::Open);
}

#[test]
fn strangers_make_room_before_whoever_has_a_credential() {
    let (stranger, known, silent) = (connection(), connection(), connection());
    drop(known.begin(false));
    known.has_shown_a_credential();
    drop(stranger.begin(false));

    assert!(silent.worth() < stranger.worth() && stranger.worth() < known.worth());
}

#[test]
fn a_reader_is_given_a_grace_and_then_a_least_rate() {
    let taken_at = |bytes: u64, waited_ms: u64| {
        let connection = connection();
        drop(connection.begin(false));
        connection.waits(Side::Write, Waker::noop(), 0);
        connection.has_written(bytes as usize);
        connection.look_at(waited_ms);
        connection.is_cut()
    };

    assert!(!taken_at(0, WRITE_GRACE_MS));
    assert!(taken_at(0, WRITE_GRACE_MS + 1));
    assert!(!taken_at(LEAST_RATE * 20, 20_000));
    assert!(taken_at(LEAST_RATE * 20 - 1, 20_000));
}

#[test]
fn what_follows_a_refusal_is_drained_for_a_second_and_64_kib_at_most() {
    let refused = || {
        let connection = connection();
        let answering = connection.begin(true);
        connection.end_with_answer(0);
        drop(answering);
        connection
    };

    let (slow, large) = (refused(), refused());
    assert_eq!(slow.gate(DRAIN_MS - 1), Gate::Open);
    assert_eq!(slow.gate(DRAIN_MS), Gate::Ended);
    large.has_read(MAX_DRAINED_BYTES - 1, 0);
    assert_eq!(large.gate(0), Gate::Open);
    large.has_read(1, 0);
    assert_eq!(large.gate(0), Gate::Ended);
}

#[test]
fn a_stranger_whose_body_is_waited_for_makes_room_and_whoever_is_known_does_not() {
    let (stranger, known) = (connection(), connection());
    let _answering = [stranger.begin(true), known.begin(true)];
    known.has_shown_a_credential();

    assert!(!stranger.is_idle());
    stranger.wants_body(true);
    known.wants_body(true);

    assert!(stranger.is_idle() && !known.is_idle());
}
