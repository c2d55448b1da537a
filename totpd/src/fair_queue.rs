//! A fair queue of permits: as many pieces of work at once as there are permits, and the next
//! permit goes to the client that has waited longest since its last one. So a client with many
//! requests makes another one wait for a piece or two.

use crate::sync::ignore_poison;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// The permits, and the clients that wait for one.
#[derive(Clone, Debug)]
pub struct FairQueue(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// The clients that wait, each once, the next one first. Each has its waiters in the order of
    /// arrival.
    waiting: VecDeque<(String, VecDeque<oneshot::Sender<Permit>>)>,
}

/// Allows one piece of work. It goes to the next client when it is dropped.
#[derive(Debug)]
pub struct Permit(FairQueue);

impl FairQueue {
    /// Makes a queue of `permits` permits.
    pub fn new(permits: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: permits, waiting: VecDeque::new() })))
    }

    /// Waits for a permit for `client`. An abandoned wait leaves nothing behind.
    pub async fn acquire(&self, client: &str) -> Permit {
        match self.now_or_later(client) {
            Ok(permit) => permit,
            // Never an error: the sender stays in the queue, which `self` holds, until it has sent.
            Err(later) => later.await.unwrap_or_else(|_| Permit(self.clone())),
        }
    }

    fn now_or_later(&self, client: &str) -> Result<Permit, oneshot::Receiver<Permit>> {
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            return Ok(Permit(self.clone()));
        }
        let (sender, receiver) = oneshot::channel();
        match state.waiting.iter_mut().find(|(name, _)| name == client) {
            Some((_, waiters)) => waiters.push_back(sender),
            None => state.waiting.push_back((client.to_owned(), VecDeque::from([sender]))),
        }
        Err(receiver)
    }

    /// Takes the next waiter out of the queue. Without one the permit is free.
    fn next(&self) -> Option<oneshot::Sender<Permit>> {
        let mut state = self.state();
        while let Some((client, mut waiters)) = state.waiting.pop_front() {
            let waiter = waiters.pop_front();
            if !waiters.is_empty() {
                state.waiting.push_back((client, waiters));
            }
            if let Some(waiter) = waiter.filter(|waiter| !waiter.is_closed()) {
                return Some(waiter);
            }
        }
        state.free += 1;
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        ignore_poison(self.0.lock())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(waiter) = self.0.next() {
            // If the waiter is gone the permit comes back, is dropped here, and goes to the next
            // one.
            drop(waiter.send(Self(self.0.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clients, in the order in which they were served.
    async fn order(permits: usize, arrivals: &[&'static str]) -> Vec<&'static str> {
        let queue = FairQueue::new(permits);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut first = Vec::new();
        for _ in 0..permits {
            first.push(queue.acquire("first").await);
        }
        let mut tasks = Vec::new();
        for client in arrivals {
            let (queue, order, client) = (queue.clone(), Arc::clone(&order), *client);
            tasks.push(tokio::spawn(async move {
                let permit = queue.acquire(client).await;
                order.lock().unwrap().push(client);
                tokio::task::yield_now().await;
                drop(permit);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        let state = queue.state();
        assert!(state.free == permits && state.waiting.is_empty());
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    }

    #[tokio::test]
    async fn a_client_waits_for_one_request_of_each_other_client() {
        let flood = [["flood"; 50].as_slice(), &["shop", "flood", "bank", "shop"]].concat();
        for permits in [1, 4] {
            let served = order(permits, &flood).await;
            let position = |who| served.iter().position(|client| *client == who).unwrap();
            assert_eq!(served.len(), 54);
            assert!(position("shop") < 2 * permits + 1 && position("bank") < 2 * permits + 2, "{served:?}");
        }
    }

    #[tokio::test]
    async fn an_abandoned_wait_keeps_no_permit() {
        let queue = FairQueue::new(1);
        let held = queue.acquire("a").await;
        for _ in 0..10 {
            tokio::select! {
                biased;
                _ = queue.acquire("b") => panic!("two at once"),
                () = tokio::task::yield_now() => {}
            }
        }
        // This one is given a permit, and goes away before it takes it.
        let Err(later) = queue.now_or_later("c") else { panic!("two at once") };
        drop(held);
        drop(later);
        let state = queue.state();
        assert!(state.free == 1 && state.waiting.is_empty(), "{state:?}");
    }
}
