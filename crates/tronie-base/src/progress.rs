//! How long-running work reports itself.

/// The work was asked to stop, and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

/// Where long work tells how far it is. Asking [`Progress::check`] often is what makes Ctrl-C prompt.
pub trait Progress {
    /// A stage of `total` units begins ("denoising", 20). It replaces the stage before it.
    fn begin(&mut self, stage: &str, total: u64);

    /// `n` more units of the current stage are done.
    fn advance(&mut self, n: u64);

    /// A few numbers about the current stage ("loss 0.1234"), in the place of those shown before. Nobody needs them.
    fn show(&mut self, _numbers: &str) {}

    /// Something a person should read that is not an error.
    fn note(&mut self, message: &str);

    /// `Err` once the user has asked to stop.
    ///
    /// # Errors
    /// [`Cancelled`], to be passed up unchanged.
    fn check(&self) -> Result<(), Cancelled>;
}

/// Progress that nobody watches and nobody cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _stage: &str, _total: u64) {}
    fn advance(&mut self, _n: u64) {}
    fn note(&mut self, _message: &str) {}
    fn check(&self) -> Result<(), Cancelled> {
        Ok(())
    }
}
