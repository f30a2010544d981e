//! Where copies outside the pools are kept.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use parpen_archive::{ObjectArchive, S3};
use parpen_base::{Clock, Entropy};
use parpen_image::ImageDir;
use parpen_keys::FileKeys;
use parpen_model::ports::ImageStore;
use parpen_service::Copies;
use serde::Deserialize;

use super::cloud::OtherImages;
use crate::config::{Backups, Images, Keys};
use crate::files;

/// Where backups are kept that leave this machine, with its address.
type Bucket = (String, Arc<ObjectArchive>);

/// The stores that the settings name; in a fresh data directory, folders of it. Backups are in the bucket, if there is
/// one.
pub fn copies(
    (backups, images, keys): (&Backups, &Images, &Keys),
    glance: Option<&OtherImages>,
    data: &Path,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> anyhow::Result<(Copies, Option<Bucket>)> {
    let owner = owner(data, entropy)?;
    let archive = match &backups.url {
        Some(url) => ObjectArchive::s3(bucket(url, backups)?, clock, owner)?,
        None => {
            let dir = backups.path.as_deref().unwrap_or(Path::new("backups"));
            ObjectArchive::local(&data.join(dir), clock, owner)?
        }
    };
    let archive = match backups.segment()? {
        Some(bytes) => archive.with_segment(bytes),
        None => archive,
    };
    let images: Arc<dyn ImageStore> = match glance {
        Some(glance) => glance.store(data)?,
        None => {
            let dir = images.path.as_deref().unwrap_or(Path::new("images"));
            Arc::new(ImageDir::open(&data.join(dir))?)
        }
    };
    let keys = FileKeys::new(data.join(keys.file.as_deref().unwrap_or(Path::new("volume.keys"))));
    let archive = Arc::new(archive);
    let bucket = backups.url.clone().map(|url| (url, archive.clone()));
    Ok((Copies { archive, images, keys: Arc::new(keys) }, bucket))
}

/// Who this installation is to others that share its stores.
fn owner(data: &Path, entropy: &dyn Entropy) -> anyhow::Result<String> {
    let path = data.join("installation");
    match std::fs::read_to_string(&path) {
        Ok(text) => return Ok(text.trim().to_string()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
    let id = entropy.uuid().to_string();
    files::write_private(&path, &id).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(id)
}

/// The credentials file of `[backups]`; whatever is wrong with it, its content is never repeated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

fn credentials(file: Option<&Path>) -> anyhow::Result<Credentials> {
    if let Some(path) = file {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parsed = toml::from_str(&text).ok();
        return parsed.with_context(|| {
            format!("{} must have access_key_id and secret_access_key, as TOML", path.display())
        });
    }
    let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let both = (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY"));
    let (Some(access_key_id), Some(secret_access_key)) = both else {
        bail!(
            "backups.url needs credentials_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
        );
    };
    Ok(Credentials { access_key_id, secret_access_key, session_token: var("AWS_SESSION_TOKEN") })
}

/// `s3://bucket` or `s3://bucket/prefix`.
fn bucket(url: &str, b: &Backups) -> anyhow::Result<S3> {
    let rest =
        url.strip_prefix("s3://").with_context(|| format!("backups.url {url:?} must begin with s3://"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() || bucket.contains('@') {
        bail!("backups.url must be s3://bucket/prefix, without any credential");
    }
    let c = credentials(b.credentials_file.as_deref())?;
    Ok(S3 {
        bucket: bucket.to_string(),
        prefix: prefix.to_string(),
        region: b.region.clone().unwrap_or_else(|| "us-east-1".into()),
        endpoint: b.endpoint.clone(),
        virtual_hosted: b.virtual_hosted,
        access_key_id: c.access_key_id,
        secret_access_key: c.secret_access_key,
        session_token: c.session_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_no_part_of_addresses_or_errors() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let b = Backups { credentials_file: Some(file.clone()), ..Backups::default() };
        std::fs::write(&file, "access_key_id = \"me\"\nsecret_access_key = \"hush\"\n").unwrap();
        let s = bucket("s3://b/p/q", &b).unwrap();
        assert_eq!(
            (s.bucket.as_str(), s.prefix.as_str(), s.secret_access_key.as_str()),
            ("b", "p/q", "hush")
        );
        assert!(!format!("{s:?}").contains("hush"));
        std::fs::write(&file, "secret_access_key = hush").unwrap();
        let said = format!("{:#}", bucket("s3://b", &b).unwrap_err());
        assert!(said.contains("access_key_id") && !said.contains("hush"), "{said}");
        assert!(bucket("s3://me:hush@b", &b).is_err() && bucket("https://b", &b).is_err());
    }
}
