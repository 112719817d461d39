//! What threads wait with: the standard library's, or in the models that tests/models.sh runs shuttle's, which
//! tries one order of the threads after another.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    thread::{self, ThreadId},
};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    thread::{self, ThreadId},
};
