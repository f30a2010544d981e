//! The installation's key, in a file of its own.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use parpen_base::Boxed;
use parpen_block::SectorCipher;
use parpen_model::ports::{KeyManager, WrappedKey};
use parpen_model::{Condition, DataKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::xts::{KEY, Xts};

const NONCE: usize = 12;
const TAG: usize = 16;
/// The first word of the file, and of what it has wrapped.
const FORM: &str = "parpen-key-1";

/// The key that wraps all others, read or made when it is first needed.
pub struct FileKeys {
    path: PathBuf,
    read: Mutex<Option<Arc<Master>>>,
}

struct Master {
    id: Uuid,
    key: Zeroizing<[u8; 32]>,
}

fn broken(path: &Path, why: impl std::fmt::Display) -> Condition {
    Condition::Unavailable(format!("the key file {}: {why}", path.display()))
}

fn crypto(e: openssl::error::ErrorStack) -> Condition {
    Condition::internal(format!("OpenSSL: {e}"))
}

impl FileKeys {
    /// The key in this file, which is made at the first use.
    pub fn new(path: PathBuf) -> FileKeys {
        FileKeys { path, read: Mutex::default() }
    }

    fn master(&self, make: bool) -> Result<Arc<Master>, Condition> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(master) = &*read {
            return Ok(master.clone());
        }
        let master = match File::open(&self.path) {
            Ok(file) => Master::read(&self.path, file)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && make => Master::make(&self.path)?,
            Err(e) => return Err(broken(&self.path, e)),
        };
        let master = Arc::new(master);
        *read = Some(master.clone());
        Ok(master)
    }
}

impl Master {
    fn read(path: &Path, mut file: File) -> Result<Master, Condition> {
        let mode = file.metadata().map_err(|e| broken(path, e))?.mode();
        if mode & 0o077 != 0 {
            return Err(broken(path, "others than its owner may read it; take that right away (mode 0600)"));
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(|e| broken(path, e))?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let parsed = match words[..] {
            [FORM, id, key] => Uuid::parse_str(id).ok().zip(STANDARD.decode(key).ok().map(Zeroizing::new)),
            _ => None,
        };
        let (id, key) = parsed.ok_or_else(|| broken(path, "it is damaged"))?;
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| broken(path, "it is damaged"))?;
        Ok(Master { id, key: Zeroizing::new(key) })
    }

    fn make(path: &Path) -> Result<Master, Condition> {
        let (mut id, mut key) = ([0; 16], Zeroizing::new([0; 32]));
        rand_bytes(&mut id).map_err(crypto)?;
        rand_bytes(&mut key[..]).map_err(crypto)?;
        let id = uuid::Builder::from_random_bytes(id).into_uuid();
        let text = Zeroizing::new(format!("{FORM} {id} {}\n", STANDARD.encode(&key[..])));
        let new = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Never over a key that is there: what it wrapped would be lost.
            std::fs::hard_link(&new, path)?;
            std::fs::remove_file(&new)?;
            path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        write().map_err(|e| broken(path, e))?;
        Ok(Master { id, key })
    }

    fn wrap(&self, key: &[u8; KEY]) -> Result<WrappedKey, Condition> {
        let (mut nonce, mut tag) = ([0; NONCE], [0; TAG]);
        rand_bytes(&mut nonce).map_err(crypto)?;
        let cipher = Cipher::aes_256_gcm();
        let about = self.id.as_bytes();
        let sealed =
            encrypt_aead(cipher, &self.key[..], Some(&nonce), about, key, &mut tag).map_err(crypto)?;
        let wrapped = STANDARD.encode([&nonce[..], &sealed, &tag].concat());
        Ok(WrappedKey { wrapped_by: format!("{FORM} {}", self.id), wrapped })
    }

    fn unwrap(&self, key: &DataKey) -> Result<Zeroizing<[u8; KEY]>, Condition> {
        if key.wrapped_by != format!("{FORM} {}", self.id) {
            return Err(Condition::Unavailable(format!(
                "the key {} was wrapped by {}, and the key file is that of {}: put the right file back",
                key.id, key.wrapped_by, self.id
            )));
        }
        let lost = || Condition::DataLost(format!("the key {} is damaged", key.id));
        let bytes = STANDARD.decode(&key.wrapped).map_err(|_| lost())?;
        if bytes.len() != NONCE + KEY + TAG {
            return Err(lost());
        }
        let (nonce, rest) = bytes.split_at(NONCE);
        let (sealed, tag) = rest.split_at(KEY);
        let about = self.id.as_bytes();
        let opened = decrypt_aead(Cipher::aes_256_gcm(), &self.key[..], Some(nonce), about, sealed, tag);
        let opened = Zeroizing::new(opened.map_err(|_| lost())?);
        opened.as_slice().try_into().map(Zeroizing::new).map_err(|_| lost())
    }
}

impl KeyManager for FileKeys {
    fn is_there(&self) -> bool {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).is_some() || self.path.exists()
    }

    fn create(&self) -> Boxed<'_, Result<WrappedKey, Condition>> {
        Box::pin(async move {
            let mut key = Zeroizing::new([0; KEY]);
            rand_bytes(&mut key[..]).map_err(crypto)?;
            self.master(true)?.wrap(&key)
        })
    }

    fn open<'a>(&'a self, key: &'a DataKey) -> Boxed<'a, Result<Arc<dyn SectorCipher>, Condition>> {
        Box::pin(async move {
            let key = self.master(false)?.unwrap(key)?;
            Ok(Arc::new(Xts::new(key)?) as Arc<dyn SectorCipher>)
        })
    }
}

#[cfg(test)]
mod tests;
