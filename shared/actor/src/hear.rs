//! Notices interruptions of a run, and checks for them before every write.

use std::mem::discriminant;

use futures::FutureExt as _;
use mesh_cluster::{Asked, Grip, Lock};
use mesh_records::Record;

use crate::ending::Outcome;
use crate::interruption::{Heard, Interruption};
use crate::run::Run;

// === impl Run ===

impl Run {
    /// Checks that the run may start something more.
    ///
    /// # Errors
    /// The run was interrupted.
    pub fn may_go_on(&mut self) -> Result<(), Interruption> {
        self.poll_signals();
        let Heard { first, second, .. } = self.heard;
        let signal = second.map(Interruption::SecondSignal);
        let signal = signal.or(first.map(Interruption::Signal));
        let gone = self.voice.reader_is_gone();
        let reason = signal.or(gone.then_some(Interruption::ReaderGone));
        reason.or(self.lost()).map_or(Ok(()), Err)
    }

    /// Checks that a write may begin now.
    ///
    /// # Errors
    /// As [`Run::may_go_on`], or the lock is not held.
    pub fn may_write(&mut self) -> Result<(), Interruption> {
        self.may_go_on()?;
        self.holds_lock()
    }

    /// Writes and flushes the record that announces a write, then checks that the write may begin.
    /// Writing the record may show that nobody reads the records any more.
    ///
    /// # Errors
    /// As [`Run::emit`]; the inner result is that of [`Run::may_write`].
    pub fn announce(&mut self, record: &Record) -> anyhow::Result<Result<(), Interruption>> {
        self.emit(record)?;
        Ok(self.may_write())
    }

    /// Checks that the lock is held now; a dry run needs no lock.
    ///
    /// # Errors
    /// [`Interruption::LockLost`] if the lock is not held.
    pub fn holds_lock(&self) -> Result<(), Interruption> {
        match &self.lock {
            None if self.is_dry() => Ok(()),
            None => Err(Interruption::LockLost(
                "this run does not hold it".to_owned(),
            )),
            Some(_) => self.lost().map_or(Ok(()), Err),
        }
    }

    /// Like [`Run::may_write`], but asks the API server whether the lock is held: what the run knows of
    /// it may be as old as the last renewal. For the write that follows a question.
    ///
    /// # Errors
    /// As [`Run::may_write`], or the API server cannot be reached.
    pub async fn confirm_lock(&mut self) -> Outcome<()> {
        self.may_write()?;
        let Some(confirming) = self.lock.as_ref().map(Lock::confirm) else {
            return Ok(());
        };
        match self.unless_stopped(confirming).await?? {
            Ok(()) => Ok(()),
            Err(lost) => Err(Interruption::LockLost(lost.to_string()).into()),
        }
    }

    /// Waits for the next interruption; each is returned once. Cancelling the future loses none.
    pub async fn interrupted(&mut self) -> Interruption {
        loop {
            if let Some(interruption) = self.untold() {
                return interruption;
            }
            let mut grip = self.lock.as_ref().map(Lock::grip);
            let is_told = self.heard.has_told(&Interruption::LockLost(String::new()));
            grip = grip.filter(|_| !is_told);
            tokio::select! {
                asked = self.signals.next() => {
                    self.heard.hear(asked);
                    self.voice.says_what_it_waits_for(asked, self.patience);
                }
                lost = lost(&mut grip) => {
                    let lost = Interruption::LockLost(lost);
                    self.heard.told.push(discriminant(&lost));
                    return lost;
                }
            }
        }
    }

    /// Waits for `future`, which may be cancelled at any time. Fails on a signal and if the lock is
    /// lost.
    ///
    /// # Errors
    /// An interruption came before the future was ready.
    pub async fn unless_stopped<F: Future>(
        &mut self,
        future: F,
    ) -> Result<F::Output, Interruption> {
        self.may_go_on()?;
        tokio::select! {
            output = future => Ok(output),
            interruption = self.interrupted() => Err(interruption),
        }
    }

    /// Waits for a future that must not be cancelled.
    ///
    /// # Errors
    /// [`Interruption::SecondSignal`]; nothing else ends the wait.
    pub async fn see_out<F: Future>(&mut self, future: F) -> Result<F::Output, Interruption> {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                asked = self.signals.next() => {
                    self.heard.hear(asked);
                    self.voice.says_that_it_waits(asked);
                    if let Asked::Again(number) = asked {
                        return Err(Interruption::SecondSignal(number));
                    }
                }
            }
        }
    }

    // A signal counts as soon as it arrives, whatever the run is waiting for.
    fn poll_signals(&mut self) {
        while let Some(asked) = self.signals.next().now_or_never() {
            self.heard.hear(asked);
        }
    }

    fn lost(&self) -> Option<Interruption> {
        let lost = self.lock.as_ref()?.grip().check().err()?;
        Some(Interruption::LockLost(lost.to_string()))
    }

    fn untold(&mut self) -> Option<Interruption> {
        self.poll_signals();
        let first = self.heard.first.map(Interruption::Signal);
        let second = self.heard.second.map(Interruption::SecondSignal);
        let gone = self.voice.reader_is_gone();
        let gone = gone.then_some(Interruption::ReaderGone);
        let all = [first, second, gone, self.lost()].into_iter().flatten();
        let untold = all.into_iter().find(|it| !self.heard.has_told(it))?;
        self.heard.told.push(discriminant(&untold));
        Some(untold)
    }
}

async fn lost(grip: &mut Option<Grip>) -> String {
    match grip {
        Some(grip) => grip.lost().await.to_string(),
        None => std::future::pending().await,
    }
}
