//! How far something large has come: a bar where standard error is a terminal, lines where they are asked for.

use std::{
    io::{self, IsTerminal},
    sync::{Mutex, PoisonError},
};

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) struct Progress {
    verb: &'static str,
    total: Option<u64>,
    done: u64,
    kind: Kind,
}

enum Kind {
    Quiet,
    /// What is done before anybody waits for it needs no bar.
    Early,
    Bar(ProgressBar),
    /// The next line is told when so much is done.
    Lines(u64),
}

impl Progress {
    /// `wish` is what the user wants: `None` for a bar at a terminal.
    pub(crate) fn new(verb: &'static str, total: Option<u64>, wish: Option<bool>) -> Self {
        let kind = match wish {
            Some(false) => Kind::Quiet,
            _ if io::stderr().is_terminal() => Kind::Early,
            Some(true) => Kind::Lines(0),
            None => Kind::Quiet,
        };
        let mut progress = Self {
            verb,
            total,
            done: 0,
            kind,
        };
        if let Kind::Lines(next) = &mut progress.kind {
            *next = progress.total.map_or(STEP, |total| (total / 10).max(1));
        }
        progress
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        match &mut self.kind {
            Kind::Early if self.done >= LARGE => self.kind = Kind::Bar(self.bar()),
            Kind::Quiet | Kind::Early => {}
            Kind::Bar(bar) => bar.set_position(self.done),
            Kind::Lines(next) if self.done < *next => {}
            Kind::Lines(next) => {
                let step = self.total.map_or(STEP, |total| (total / 10).max(1));
                *next = (self.done / step + 1) * step;
                self.tell();
            }
        }
    }

    pub(crate) fn finish(self) {
        match &self.kind {
            Kind::Bar(bar) => bar.finish(),
            Kind::Lines(_) if self.total.is_none() => self.tell(),
            _ => {}
        }
    }

    fn tell(&self) {
        let (verb, done) = (self.verb, BinaryBytes(self.done));
        match self.total {
            Some(total @ 1..) => {
                let percent = u128::from(self.done) * 100 / u128::from(total);
                eprintln!(
                    "wscat: {verb} {percent} % ({done} of {})",
                    BinaryBytes(total)
                );
            }
            _ => eprintln!("wscat: {verb} {done}"),
        }
    }

    fn bar(&self) -> ProgressBar {
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(self.total, target);
        let template = match self.total {
            Some(_) => {
                "{msg} {bar:28} {percent} % of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left"
            }
            None => "{msg} {binary_bytes}, {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(self.verb);
        bar.set_position(self.done);
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        bar
    }
}

/// Writes something without leaving half a bar in it.
pub(crate) fn above<T>(write: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match shown.as_ref().filter(|bar| !bar.is_finished()) {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

impl Drop for Progress {
    /// One that was not finished leaves no half of a bar behind a message.
    fn drop(&mut self) {
        if let Kind::Bar(bar) = &self.kind {
            if !bar.is_finished() {
                bar.abandon();
            }
        }
    }
}

/// The bar that is on the screen.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From here on a bar is worth looking at.
const LARGE: u64 = 1 << 20;

/// A line for each so much, where nobody knows how much there will be.
const STEP: u64 = 64 << 20;
