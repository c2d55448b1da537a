//! One thread at a time; totpd/tests/ticket_orders.rs has all orders of several.

use crate::store::Ticket;
use std::time::{Duration, Instant};

#[test]
fn work_is_begun_or_dropped_and_never_both() {
    let far = Instant::now() + Duration::from_hours(1);
    let ticket = Ticket::new(far);
    assert!(ticket.claim() && ticket.claim());
    assert!(!ticket.drop_it());
    ticket.release();
    assert!(ticket.drop_it());
    let ticket = Ticket::new(far);
    assert!(ticket.drop_it() && ticket.drop_it());
    assert!(!ticket.claim());
    let late = Ticket::new(Instant::now());
    assert!(!late.claim());
    assert!(late.drop_it());
}
