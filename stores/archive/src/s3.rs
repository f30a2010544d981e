//! Any store that speaks S3.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use parpen_base::Clock;
use parpen_model::Condition;

use crate::ObjectArchive;

/// Where a bucket is and who opens it.
#[derive(Clone)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// Everything stands below this; may be empty.
    pub prefix: String,
    /// The region; stores that have none take any.
    pub region: String,
    /// The store's address, where it is not AWS.
    pub endpoint: Option<String>,
    /// The bucket is part of the host name.
    pub virtual_hosted: bool,
    /// Who.
    pub access_key_id: String,
    /// The secret; never printed.
    pub secret_access_key: String,
    /// For credentials that last a while only.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl ObjectArchive {
    /// In a bucket. Plain HTTP is spoken only where the endpoint says so.
    pub fn s3(s: S3, clock: Arc<dyn Clock>, owner: String) -> Result<ObjectArchive, Condition> {
        // The first in the process wins; every user of TLS here brings the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = s.endpoint.as_deref().is_some_and(|e| e.starts_with("http://"));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&s.bucket)
            .with_region(&s.region)
            .with_access_key_id(&s.access_key_id)
            .with_secret_access_key(&s.secret_access_key)
            .with_virtual_hosted_style_request(s.virtual_hosted)
            .with_allow_http(plain);
        if let Some(endpoint) = &s.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(token) = &s.session_token {
            builder = builder.with_token(token);
        }
        let store = builder.build().map_err(|e| {
            Condition::invalid("backups", format!("the bucket {:?} cannot be used: {e}", s.bucket))
        })?;
        let store = PrefixStore::new(store, s.prefix.trim_matches('/'));
        Ok(ObjectArchive::new(Arc::new(store), clock, owner))
    }
}
