//! The threads that the library starts.
//!
//! They take no signals of the process's: a program that handles signals expects them on its own threads, and
//! with the stacks that it gave those. A new thread inherits what its maker blocks, so a thread blocks everything
//! for the moment in which it starts another; no signal is lost, it comes a moment later or to another thread.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Starts a thread that takes no signals. `stack_bytes` of `None` is the standard library's choice.
///
/// # Errors
///
/// The operating system has no more threads, or no memory for it.
pub(crate) fn spawn(
    name: &str,
    stack_bytes: Option<usize>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    #[cfg(test)]
    if refusal::is_on() {
        return Err(io::ErrorKind::WouldBlock.into()); // EAGAIN
    }
    let mut builder = Builder::new().name(name.into());
    if let Some(bytes) = stack_bytes {
        builder = builder.stack_size(bytes);
    }
    let own = blocked().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = builder.spawn(run);
    // It fails only for what is no mask, and this is the one that was there.
    let _ = own.thread_set_mask();
    spawned
}

/// All signals but those that a thread raises by its own fault, or that count its time.
fn blocked() -> SigSet {
    let mut signals = SigSet::all();
    for own in [
        Signal::SIGABRT,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGPROF,
        Signal::SIGSEGV,
        Signal::SIGSYS,
        Signal::SIGTRAP,
    ] {
        signals.remove(own);
    }
    signals
}

/// For tests of what is done without threads; there are none among the models, nor under miri.
#[cfg(test)]
#[cfg_attr(any(shuttle, miri), allow(dead_code))]
pub(crate) mod refusal {
    use std::cell::Cell;

    thread_local! {
        static IS_ON: Cell<bool> = const { Cell::new(false) };
    }

    /// While it lives, its thread starts no others.
    pub(crate) struct Refusal(());

    impl Refusal {
        pub(crate) fn begin() -> Self {
            IS_ON.set(true);
            Self(())
        }
    }

    impl Drop for Refusal {
        fn drop(&mut self) {
            IS_ON.set(false);
        }
    }

    pub(super) fn is_on() -> bool {
        IS_ON.get()
    }
}
