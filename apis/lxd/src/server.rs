//! What the server says of itself.

use serde_json::{Value, json};

use crate::config::DRIVERS;

/// The extensions of the API whose operations are built, and no other: clients choose their ways by this
/// list.
pub(crate) const EXTENSIONS: [&str; 17] = [
    "storage",
    "resources",
    "etag",
    "patch",
    "operation_description",
    "event_lifecycle",
    "entity_description",
    "storage_api_volume_rename",
    "storage_api_local_volume_handling",
    "storage_api_volume_snapshots",
    "custom_block_volumes",
    "storage_volume_state",
    "storage_volume_state_total",
    "storage_volume_api_filtering",
    "storage_volumes_all_projects",
    "storage_volumes_created_at",
    "server_supported_storage_drivers",
];

/// `/1.0` for somebody who is not trusted.
pub(crate) fn stranger() -> Value {
    json!({
        "api_extensions": EXTENSIONS,
        "api_status": "stable",
        "api_version": "1.0",
        "auth": "untrusted",
        "public": false,
        "auth_methods": ["tls"],
    })
}

/// `/1.0` for somebody who is.
pub(crate) fn trusted(version: &str) -> Value {
    let drivers: Vec<Value> =
        DRIVERS.iter().map(|name| json!({ "Name": name, "Version": version, "Remote": false })).collect();
    json!({
        "config": {},
        "api_extensions": EXTENSIONS,
        "api_status": "stable",
        "api_version": "1.0",
        "auth": "trusted",
        "public": false,
        "auth_methods": ["tls"],
        "environment": {
            "addresses": [],
            "architectures": [std::env::consts::ARCH],
            "certificate": "",
            "certificate_fingerprint": "",
            "driver": "",
            "driver_version": "",
            "firewall": "",
            "kernel": "",
            "kernel_architecture": std::env::consts::ARCH,
            "kernel_features": {},
            "kernel_version": "",
            "lxc_features": {},
            "os_name": "",
            "os_version": "",
            "project": "default",
            "server": "parpen",
            "server_clustered": false,
            "server_event_mode": "full-mesh",
            "server_name": "parpen",
            "server_pid": std::process::id(),
            "server_version": version,
            "storage": "parpen",
            "storage_version": version,
            "storage_supported_drivers": drivers,
        },
    })
}
