//! The gate: nobody gets a device except through it, and it can shut, cut and hold what it gave.

use crate::SessionInfo;

/// One admitted connection to a device.
pub struct Session {
    info: SessionInfo,
}

impl Session {
    /// Who it was given to.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }
}
