//! Asks a busy API server again.

use std::time::Duration;

use mesh_cluster::wire::error::{Error, Why};

/// The number of attempts left when the API server is busy.
pub(super) struct Patience {
    left: u32,
}

/// How often a request is repeated when the API server is busy.
const PATIENCE: u32 = 5;
/// The longest wait before such a repetition.
const PAUSE: Duration = Duration::from_secs(10);
/// Reads, and repeats that a few times if the API server is busy.
pub(super) async fn patient<T, F: Future<Output = Result<T, Error>>>(
    mut read: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut patience = Patience::default();
    loop {
        match read().await {
            Ok(answer) => return Ok(answer),
            Err(error) => patience.with(error).await?,
        }
    }
}

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Self { left: PATIENCE }
    }
}

impl Patience {
    /// Waits before the next attempt if the server is busy; returns any other error.
    pub(super) async fn with(&mut self, error: Error) -> Result<(), Error> {
        if error.why() != Why::Busy || self.left == 0 {
            return Err(error);
        }
        self.left -= 1;
        let pause = error.retry_after().unwrap_or(Duration::from_secs(1));
        tokio::time::sleep(pause.min(PAUSE)).await;
        Ok(())
    }
}
