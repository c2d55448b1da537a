//! Whether the reply of a grant reached the client. A grant that is dropped without a word counts
//! as undelivered, so that no early return can forget to record it.

use std::pin::Pin;

/// A future that an authority hands out.
pub(crate) type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What became of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It was written to the socket.
    Written,
    /// The connection ended first.
    Undelivered,
}

/// Tells an authority what became of a granted reply, once.
pub(crate) struct Receipt(Option<Settle>);

type Settle = Box<dyn FnOnce(Delivery) -> BoxFuture + Send>;

impl Receipt {
    /// `settle` runs once. Its future is awaited, or spawned if the receipt is dropped.
    pub(crate) fn new(settle: impl FnOnce(Delivery) -> BoxFuture + Send + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// Says what became of the reply, and waits until that is recorded.
    pub(crate) async fn settle(mut self, delivery: Delivery) {
        if let Some(settle) = self.0.take() {
            settle(delivery).await;
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            let recorded = settle(Delivery::Undelivered);
            // Outside of a runtime the process is ending, and nothing can be recorded any more.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(recorded);
            }
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    fn receipt() -> (Receipt, Receiver<Delivery>) {
        let (sender, settled) = channel();
        let receipt = Receipt::new(move |delivery| {
            Box::pin(async move {
                let _ = sender.send(delivery);
            })
        });
        (receipt, settled)
    }

    #[tokio::test]
    async fn a_receipt_is_settled_once_and_undelivered_if_dropped() {
        let (written, settled) = receipt();
        written.settle(Delivery::Written).await;
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [Delivery::Written]);
        let (dropped, settled) = receipt();
        drop(dropped);
        tokio::task::yield_now().await;
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [Delivery::Undelivered]);
    }

    #[test]
    fn a_receipt_dropped_outside_a_runtime_does_not_panic() {
        drop(receipt().0);
    }
}
