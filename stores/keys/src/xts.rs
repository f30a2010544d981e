//! AES-256-XTS over sectors of 512 bytes; the tweak is the sector's number within its volume, little endian, as
//! `aes-xts-plain64` has it.

use std::sync::{Mutex, PoisonError};

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use parpen_base::SECTOR;
use parpen_block::SectorCipher;
use parpen_model::Condition;
use zeroize::Zeroizing;

/// Bytes of a key: two AES keys of 256 bits.
pub(crate) const KEY: usize = 64;

/// One volume's cipher. Its contexts are kept and shared by all threads that need one.
pub struct Xts {
    key: Zeroizing<[u8; KEY]>,
    encrypting: Mutex<Vec<CipherCtx>>,
    decrypting: Mutex<Vec<CipherCtx>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Encrypt,
    Decrypt,
}

impl Xts {
    /// A cipher of this key; the key's halves must differ.
    pub fn new(key: Zeroizing<[u8; KEY]>) -> Result<Xts, Condition> {
        if key[..KEY / 2] == key[KEY / 2..] {
            return Err(Condition::internal("both halves of a data key are the same"));
        }
        let xts = Xts { key, encrypting: Mutex::default(), decrypting: Mutex::default() };
        // Made now, so that whatever OpenSSL has against it is said before a byte depends on it.
        for way in [Way::Encrypt, Way::Decrypt] {
            let context = xts.context(way).map_err(Condition::internal)?;
            xts.give_back(way, context);
        }
        Ok(xts)
    }

    fn pool(&self, way: Way) -> &Mutex<Vec<CipherCtx>> {
        match way {
            Way::Encrypt => &self.encrypting,
            Way::Decrypt => &self.decrypting,
        }
    }

    fn context(&self, way: Way) -> Result<CipherCtx, openssl::error::ErrorStack> {
        let kept = self.pool(way).lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(context) = kept {
            return Ok(context);
        }
        let mut context = CipherCtx::new()?;
        let cipher = Some(Cipher::aes_256_xts());
        match way {
            Way::Encrypt => context.encrypt_init(cipher, Some(&self.key[..]), None)?,
            Way::Decrypt => context.decrypt_init(cipher, Some(&self.key[..]), None)?,
        }
        Ok(context)
    }

    fn give_back(&self, way: Way, context: CipherCtx) {
        self.pool(way).lock().unwrap_or_else(PoisonError::into_inner).push(context);
    }

    fn run(&self, way: Way, first: u64, sectors: &mut [u8]) {
        let mut work = || -> Result<(), openssl::error::ErrorStack> {
            let mut context = self.context(way)?;
            let mut from = [0; SECTOR as usize];
            for (i, sector) in sectors.chunks_exact_mut(SECTOR as usize).enumerate() {
                if way == Way::Decrypt && sector.iter().all(|b| *b == 0) {
                    continue;
                }
                let mut tweak = [0; 16];
                tweak[..8].copy_from_slice(&(first + i as u64).to_le_bytes());
                match way {
                    Way::Encrypt => context.encrypt_init(None, None, Some(&tweak))?,
                    Way::Decrypt => context.decrypt_init(None, None, Some(&tweak))?,
                }
                from.copy_from_slice(sector);
                context.cipher_update(&from, Some(sector))?;
            }
            from.fill(0);
            self.give_back(way, context);
            Ok(())
        };
        // A context that was made takes any tweak and any whole sector; bytes in the clear must never go on.
        work().expect("OpenSSL encrypts whole sectors with a key that it took");
    }
}

impl SectorCipher for Xts {
    fn encrypt(&self, first: u64, sectors: &mut [u8]) {
        self.run(Way::Encrypt, first, sectors);
    }

    fn decrypt(&self, first: u64, sectors: &mut [u8]) {
        self.run(Way::Decrypt, first, sectors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    // Vector 10 of IEEE 1619-2007, the first of XTS-AES-256: sector number 255, data 00 to ff twice.
    #[test]
    fn the_standards_own_vector_comes_out() {
        let key = hex("2718281828459045235360287471352662497757247093699959574966967627\
                       3141592653589793238462643383279502884197169399375105820974944592");
        let xts = Xts::new(Zeroizing::new(key.try_into().unwrap())).unwrap();
        let plain: Vec<u8> = (0..512).map(|i| i as u8).collect();
        let mut bytes = plain.clone();
        xts.encrypt(255, &mut bytes);
        assert_eq!(bytes[..16], hex("1c3b3a102f770386e4836c99e370cf9b"));
        assert_eq!(bytes[496..], hex("c4f36ffda9fcea70b9c6e693e148c151"));
        xts.decrypt(255, &mut bytes);
        assert_eq!(bytes, plain);
    }

    #[test]
    fn places_differ_and_holes_stay() {
        let key: [u8; KEY] = std::array::from_fn(|i| i as u8);
        let xts = Xts::new(Zeroizing::new(key)).unwrap();
        let mut bytes = vec![7; 1024];
        xts.encrypt(3, &mut bytes);
        assert_ne!(bytes[..512], bytes[512..]);
        bytes[..512].fill(0);
        xts.decrypt(3, &mut bytes);
        assert!(bytes[..512].iter().all(|b| *b == 0) && bytes[512..].iter().all(|b| *b == 7));
        assert!(Xts::new(Zeroizing::new([1; KEY])).is_err());
    }
}
