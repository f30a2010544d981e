//! Checksums of bytes that pass.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

enum Running {
    Sha512(Box<Sha512>),
    Sha256(Box<Sha256>),
    Md5(Box<Md5>),
}

/// What bytes that come are compared with.
pub(super) struct Sum {
    running: Running,
    wanted: String,
}

impl Sum {
    /// By the first of these that can be computed here.
    pub(super) fn of(sums: &[(String, String)]) -> Option<Sum> {
        sums.iter().find_map(|(algorithm, wanted)| {
            let running = match algorithm.as_str() {
                "sha512" => Running::Sha512(Box::default()),
                "sha256" => Running::Sha256(Box::default()),
                "md5" => Running::Md5(Box::default()),
                _ => return None,
            };
            Some(Sum { running, wanted: wanted.to_ascii_lowercase() })
        })
    }

    /// The next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Sha512(h) => h.update(bytes),
            Running::Sha256(h) => h.update(bytes),
            Running::Md5(h) => md5::Digest::update(h.as_mut(), bytes),
        }
    }

    /// Whether all that came are the bytes.
    pub(super) fn fits(self) -> bool {
        let got = match self.running {
            Running::Sha512(h) => hex(h.finalize()),
            Running::Sha256(h) => hex(h.finalize()),
            Running::Md5(h) => hex(md5::Digest::finalize(*h)),
        };
        got == self.wanted
    }
}

/// What bytes that go are.
#[derive(Default)]
pub(super) struct Both {
    sha512: Sha512,
    md5: Md5,
}

impl Both {
    /// The next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha512.update(bytes);
        md5::Digest::update(&mut self.md5, bytes);
    }

    /// MD5 and SHA-512.
    pub(super) fn finish(self) -> (String, String) {
        (hex(md5::Digest::finalize(self.md5)), hex(self.sha512.finalize()))
    }
}
