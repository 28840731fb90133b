//! What the host drives: core's process, or a scripted one in tests.

use doyen_core::input::Input;
use doyen_core::output::Output;
use doyen_core::process::{ClusterView, Process};
use doyen_core::time::Time;

/// Something that is told inputs and decides outputs, under the contract of `doyen_core`: `handle`
/// once, drain `poll_output` to `None`, read `poll_timeout`, repeat.
pub trait Decider: Send + 'static {
    /// See [`Process::handle`].
    fn handle(&mut self, now: Time, input: Input);
    /// See [`Process::poll_output`].
    fn poll_output(&mut self) -> Option<Output>;
    /// See [`Process::poll_timeout`].
    fn poll_timeout(&self) -> Option<Time>;
    /// See [`Process::view`].
    fn view(&self, now: Time) -> ClusterView;
}

impl Decider for Process {
    fn handle(&mut self, now: Time, input: Input) {
        Self::handle(self, now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Self::poll_timeout(self)
    }

    fn view(&self, now: Time) -> ClusterView {
        Self::view(self, now)
    }
}
