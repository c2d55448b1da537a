use super::*;

const LOCAL: PeerAddr = PeerAddr::Uid(1000);

fn admit_from(table: &ConnectionTable, address: &str) -> Option<Arc<HttpConnectionSlot>> {
    table.admit(PeerAddr::Address(address.parse().unwrap())).map(Arc::new)
}

fn is_evicted(slot: &Arc<HttpConnectionSlot>) -> bool {
    !slot.table.lock().connections.contains_key(&slot.number)
}

fn begin(slot: &Arc<HttpConnectionSlot>, client: &str) -> RequestGuard {
    Arc::clone(slot).begin_request(client)
}

#[tokio::test]
async fn the_oldest_unauthenticated_connection_is_evicted_first() {
    let table = ConnectionTable::new(3);
    let admit = || Arc::new(table.admit(LOCAL).unwrap());
    let [one, two, three] = [admit(), admit(), admit()];
    drop(begin(&one, "shop"));
    let four = admit();
    assert_eq!([&one, &two, &three, &four].map(is_evicted), [false, true, false, false]);
    two.evicted().await;
    drop(two);
    // Revoked credentials make a connection unauthenticated, but not one with a request in flight.
    let in_flight = begin(&four, "shop");
    four.mark_unauthenticated();
    one.mark_unauthenticated();
    let five = admit();
    assert_eq!([&one, &three, &four].map(is_evicted), [false, true, false], "since its last request");
    let _six = admit();
    assert_eq!([&one, &four].map(is_evicted), [true, false]);
    drop(in_flight);
    four.mark_unauthenticated();
    let _seven = admit();
    assert_eq!([&four, &five].map(is_evicted), [false, true]);
}

#[test]
fn a_flood_from_one_source_evicts_only_its_own_connections() {
    let table = ConnectionTable::new(8);
    let honest = admit_from(&table, "192.0.2.9").unwrap();
    let local = Arc::new(table.admit(LOCAL).unwrap());
    let flood: Vec<_> = (0..100).map(|_| admit_from(&table, "127.0.0.1").unwrap()).collect();
    assert!(!is_evicted(&honest) && !is_evicted(&local));
    assert_eq!(flood.iter().filter(|slot| !is_evicted(slot)).count(), 6);
    assert!(!is_evicted(flood.last().unwrap()));
}

#[test]
fn one_network_source_has_a_quarter_of_the_connections() {
    let table = ConnectionTable::new(8);
    let (first, second) =
        (admit_from(&table, "192.0.2.1").unwrap(), admit_from(&table, "192.0.2.1").unwrap());
    let other = admit_from(&table, "192.0.2.2").unwrap();
    // The source evicts one of its own connections, though the table is not full.
    let third = admit_from(&table, "192.0.2.1").unwrap();
    assert_eq!([&first, &second, &other].map(is_evicted), [true, false, false]);
    let in_flight = [begin(&second, "shop"), begin(&third, "shop")];
    assert!(admit_from(&table, "192.0.2.1").is_none(), "both have a request in flight");
    drop(in_flight);
    let local: Vec<_> = (0..10).filter_map(|_| admit_from(&table, "127.0.0.1")).collect();
    assert!(!is_evicted(&other) && !is_evicted(&second));
    assert_eq!(local.iter().filter(|slot| !is_evicted(slot)).count(), 5, "all that are left");
}

#[test]
fn the_client_with_the_most_connections_loses_its_longest_idle() {
    let table = ConnectionTable::new(4);
    let admit = || Arc::new(table.admit(LOCAL).unwrap());
    let (small, big) = (admit(), [admit(), admit(), admit()]);
    drop(begin(&small, "small"));
    let in_flight = begin(&big[0], "big");
    drop(begin(&big[2], "big"));
    drop(begin(&big[1], "big"));
    let new = admit();
    assert_eq!(big.each_ref().map(is_evicted), [false, false, true]);
    let more_in_flight = [begin(&big[1], "big"), begin(&new, "big")];
    // Every connection of the biggest client has a request in flight; the next client has an idle
    // connection.
    let next = admit();
    assert!(is_evicted(&small));
    let last_in_flight = begin(&next, "small");
    assert!(table.admit(LOCAL).is_none(), "no connection with a request in flight is evicted");
    drop((in_flight, more_in_flight, last_in_flight));
    assert!(table.admit(LOCAL).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_read_in_time_ends_its_connection() {
    let table = ConnectionTable::new(4);
    let admit = || Arc::new(table.admit(LOCAL).unwrap());
    let (slow, waiting, read) = (admit(), admit(), admit());
    let in_flight = [begin(&slow, "shop"), begin(&waiting, "shop")];
    in_flight[0].response_started(1024 * 1024);
    let read_at_once = begin(&read, "shop");
    read_at_once.response_started(2);
    drop(read_at_once);
    tokio::time::advance(Duration::from_mins(4)).await;
    table.evict_slow_readers();
    assert_eq!([&slow, &waiting, &read].map(is_evicted), [false; 3], "a second for 4 kB");
    tokio::time::advance(Duration::from_mins(1)).await;
    table.evict_slow_readers();
    assert_eq!([&slow, &waiting, &read].map(is_evicted), [true, false, false]);
    slow.evicted().await;
}
