//! The simulator's own tests: seeds name histories, the engine survives all profiles, and every missing
//! rule shows.

mod corpus;
mod mutation;
mod profiles;
mod regressions;
mod scripted;

use std::time::Duration;

/// Seconds for each profile: `PARPEN_SIM_SECONDS`, a few by default.
fn seconds() -> Duration {
    let text = std::env::var("PARPEN_SIM_SECONDS").unwrap_or_else(|_| "2".to_owned());
    Duration::from_secs(text.parse().expect("PARPEN_SIM_SECONDS is a whole number of seconds"))
}
