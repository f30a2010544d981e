//! A bar for long work, on the terminal only.

use std::io::Read;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `bytes`; nothing is drawn where standard error is no terminal.
pub fn bar(what: &str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let form = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    // A form that does not parse would be a fault of ours that a bar is not worth dying for.
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar.set_message(what.to_string());
    bar
}

/// Something of unknown length that goes on.
pub fn spinner(what: &str) -> ProgressBar {
    let s = ProgressBar::new_spinner();
    s.set_message(what.to_string());
    s.enable_steady_tick(Duration::from_millis(120));
    s
}

/// A reader that moves the bar.
pub struct Counted<R> {
    /// What is read.
    pub from: R,
    /// The bar.
    pub bar: ProgressBar,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buf)?;
        self.bar.inc(n as u64);
        Ok(n)
    }
}

/// Rests between two looks at the server.
#[allow(clippy::disallowed_methods)] // the command line is one thread that has nothing else to do
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
