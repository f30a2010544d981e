//! What encrypts sectors; the implementation belongs to whoever keeps the keys.

/// Encrypts and decrypts whole sectors ([`parpen_base::SECTOR`]) in place. A sector's number within its device is part of how it is encrypted, so
/// equal sectors do not look equal, and a sector that is moved cannot be read.
pub trait SectorCipher: Send + Sync {
    /// Encrypts; `first` is the number of the first sector.
    fn encrypt(&self, first: u64, sectors: &mut [u8]);
    /// Decrypts; sectors of zeros only were never written and stay as they are.
    fn decrypt(&self, first: u64, sectors: &mut [u8]);
}
