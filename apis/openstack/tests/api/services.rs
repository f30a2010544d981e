//! Services, pools, hosts, logs, messages, and what one process has none of.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::Method;
use parpen_model::Condition;
use parpen_openstack::{LogLevel, Logs};
use serde_json::{Value, json};

use crate::{Cinder, Got};

/// A filter that keeps what it is told.
#[derive(Default)]
pub(crate) struct TestLogs(Mutex<BTreeMap<String, LogLevel>>);

impl Logs for TestLogs {
    fn set(&self, prefix: &str, level: LogLevel) -> Result<(), Condition> {
        self.0.lock().unwrap().insert(prefix.to_string(), level);
        Ok(())
    }
    fn levels(&self, prefix: &str) -> BTreeMap<String, LogLevel> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|(t, _)| t.starts_with(prefix)).map(|(t, l)| (t.clone(), *l)).collect()
    }
}

fn refused(got: &Got, status: u16, text: &str) {
    let (found, _, message) = got.error();
    assert_eq!((found, message.as_str()), (status, text));
}

const LOCAL: &str = "parpen@local";

#[tokio::test(flavor = "multi_thread")]
async fn services_are_listed_by_version_and_switched() {
    let c = Cinder::start().await;
    let base = ["binary", "disabled_reason", "host", "state", "status", "updated_at", "zone"];
    let of_volume = ["active_backend_id", "frozen", "replication_status"];
    for (minor, more) in [(0, &[][..]), (7, &["cluster"]), (49, &["cluster", "backend_state"])] {
        let version = format!("volume 3.{minor}");
        let headers = [("x-auth-token", c.token.as_str()), ("openstack-api-version", version.as_str())];
        let path = "/volume/v3/os-services?binary=cinder-volume";
        let got = c.raw(Method::GET, path, &headers, "").await;
        let mut keys: Vec<&str> = base.iter().chain(&of_volume).chain(more).copied().collect();
        keys.sort_unstable();
        let first: Vec<&str> = {
            let mut all: Vec<&str> =
                got.body["services"][0].as_object().unwrap().keys().map(String::as_str).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(first, keys, "3.{minor}");
    }
    let body = json!({ "binary": "cinder-volume", "host": LOCAL });
    let reason = json!({ "binary": "cinder-volume", "host": LOCAL, "disabled_reason": "new disks" });
    let got = c.put("/os-services/disable-log-reason", reason).await;
    let want = json!({ "host": LOCAL, "service": "", "binary": "cinder-volume", "status": "disabled",
                       "disabled": true, "disabled_reason": "new disks" });
    assert_eq!((got.status, got.body), (200, want));
    let listed = c.get(&format!("/os-services?host={LOCAL}")).await.body["services"][0].clone();
    assert_eq!((&listed["status"], &listed["disabled_reason"]), (&json!("disabled"), &json!("new disks")));
    assert!(
        !c.get("/os-hosts").await.body.to_string().contains(LOCAL),
        "hosts that are disabled are not listed"
    );
    let kind = json!({ "volume_type": { "name": "here", "extra_specs": { "pool_name": "local" } } });
    c.post("/types", kind).await;
    let volume = json!({ "volume": { "size": 1, "volume_type": "here" } });
    unplaced(&c, volume.clone()).await;
    let got = c.put("/os-services/enable", body).await;
    assert_eq!((&got.body["status"], &got.body["disabled"]), (&json!("enabled"), &json!(false)));
    assert_eq!(c.post("/volumes", volume).await.status, 202);
    let unknown = json!({ "binary": "cinder-volume", "host": "nowhere" });
    let text = "Service cinder-volume could not be found on host nowhere.";
    refused(&c.put("/os-services/enable", unknown).await, 404, text);
    let hostless = c.put("/os-services/enable", json!({ "binary": "cinder-volume" })).await;
    refused(&hostless, 400, "Invalid input received: Host field is missing.");
    for bad in [json!({ "host": LOCAL }), json!({ "binary": 3, "host": LOCAL }), json!({ "x": 1 }), json!([])]
    {
        assert_eq!(c.put("/os-services/disable", bad).await.status, 400);
    }
}

/// The message about a resource, when it is there.
async fn message_about(c: &Cinder, id: &str) -> Value {
    for _ in 0..100 {
        let found = c.get(&format!("/messages?resource_uuid={id}")).await.body["messages"][0].clone();
        if !found.is_null() {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no message about {id}");
}

/// A volume that no pool takes is accepted, ends in error, says why, and can be deleted.
async fn unplaced(c: &Cinder, volume: Value) {
    let got = c.post("/volumes", volume).await;
    assert_eq!(got.status, 202, "{}", got.body);
    let id = got.body["volume"]["id"].as_str().unwrap().to_string();
    let at = format!("/volumes/{id}");
    c.until(&at, "volume", "status", "error").await;
    let message = message_about(c, &id).await;
    assert_eq!(message["event_id"], "VOLUME_VOLUME_001_003");
    let text = "schedule allocate volume:Could not find any available weighted backend.";
    assert_eq!(message["user_message"], text);
    assert_eq!(c.delete(&at).await.status, 202);
    c.until_gone(&at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_no_pool_takes_ends_in_error_and_says_why() {
    let c = Cinder::start().await;
    let kind = json!({ "volume_type": { "name": "far", "extra_specs": { "pool_name": "nowhere" } } });
    c.post("/types", kind).await;
    unplaced(&c, json!({ "volume": { "size": 1, "volume_type": "far" } })).await;
    let specs = json!({ "storage_protocol": "<or> nbd <or> iSCSI", "capabilities:vendor_name": "somebody" });
    c.post("/types", json!({ "volume_type": { "name": "odd", "extra_specs": specs } })).await;
    unplaced(&c, json!({ "volume": { "size": 1, "volume_type": "odd" } })).await;
    let source = c.volume(json!({ "size": 1 })).await;
    let copy = json!({ "volume": { "size": 1, "volume_type": "far", "source_volid": source["id"] } });
    unplaced(&c, copy).await;
    assert_eq!(c.get("/snapshots").await.body["snapshots"], json!([]), "nothing is left of the copy");
    let gone = format!("/volumes/{}", source["id"].as_str().unwrap());
    assert_eq!(c.delete(&gone).await.status, 202);
}

/// Volumes of images and backups were refused at once where blank ones are accepted and end in error.
#[tokio::test(flavor = "multi_thread")]
async fn no_source_makes_a_disabled_pool_refuse_at_once() {
    let c = Cinder::start().await;
    let source = c.volume(json!({ "size": 1 })).await;
    let image = c.image("bytes").await;
    let backup = c.post("/backups", json!({ "backup": { "volume_id": source["id"] } })).await;
    let backup = backup.body["backup"]["id"].clone();
    let kept = format!("/backups/{}", backup.as_str().unwrap());
    c.until(&kept, "backup", "status", "available").await;
    for pool in [LOCAL, "parpen@dummy"] {
        c.put("/os-services/disable", json!({ "binary": "cinder-volume", "host": pool })).await;
    }
    unplaced(&c, json!({ "volume": { "size": 1, "imageRef": image } })).await;
    unplaced(&c, json!({ "volume": { "size": 1, "backup_id": backup } })).await;
    c.until(&kept, "backup", "status", "available").await;
    let restored = c.post(&format!("{kept}/restore"), json!({ "restore": {} })).await.error();
    assert_eq!((restored.0, restored.2.contains("disabled")), (400, true), "{}", restored.2);
    assert_eq!(c.get("/volumes").await.body["volumes"].as_array().unwrap().len(), 1, "nothing is left");
}

/// Whoever deleted a backup and saw it stay never learnt why.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_deleted_says_so_and_can_be_deleted_again() {
    let c = Cinder::start().await;
    let source = c.volume(json!({ "size": 1 })).await;
    let backup = c.post("/backups", json!({ "backup": { "volume_id": source["id"] } })).await;
    let id = backup.body["backup"]["id"].as_str().unwrap().to_string();
    let at = format!("/backups/{id}");
    c.until(&at, "backup", "status", "available").await;
    c.faults.lock().unwrap().push("delete");
    assert_eq!(c.delete(&at).await.status, 202);
    c.until(&at, "backup", "status", "error").await;
    let message = message_about(&c, &id).await;
    assert_eq!(
        (&message["event_id"], &message["resource_type"]),
        (&json!("VOLUME_VOLUME_BACKUP_014_025"), &json!("VOLUME_BACKUP"))
    );
    assert_eq!(message["user_message"], "delete backup:Backup driver failed to delete backup.");
    assert_eq!(c.post(&format!("{at}/restore"), json!({ "restore": {} })).await.status, 400);
    assert_eq!(c.delete(&at).await.status, 202);
    c.until_gone(&at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_backend_is_not_changed_and_fails_over_nowhere() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1 })).await;
    let at = format!("/volumes/{}", v["id"].as_str().unwrap());
    let host = json!({ "host": LOCAL });
    let got = c.put("/os-services/freeze", host.clone()).await;
    assert_eq!((got.status, got.body), (200, Value::Null));
    let twice = "Invalid input received: No service could be changed: frozen in ['parpen@local'] must be False to \
                 failover.";
    refused(&c.put("/os-services/freeze", host.clone()).await, 400, twice);
    let listed = c.get(&format!("/os-services?host={LOCAL}")).await.body["services"][0].clone();
    assert_eq!((&listed["frozen"], &listed["disabled_reason"]), (&json!(true), &json!("frozen")));
    for (path, body) in [
        (format!("{at}/action"), json!({ "os-extend": { "new_size": 2 } })),
        ("/snapshots".to_string(), json!({ "snapshot": { "volume_id": v["id"] } })),
        (format!("{at}/action"), json!({ "os-force_delete": null })),
    ] {
        let got = c.post(&path, body).await.error();
        assert_eq!((got.0, got.2.contains("frozen")), (400, true), "{}", got.2);
    }
    assert_eq!(c.delete(&at).await.status, 400);
    assert_eq!(c.get(&at).await.body["volume"]["status"], "available", "it stays as it was");
    assert_eq!(c.put("/os-services/thaw", host.clone()).await.status, 200);
    let text = "Invalid input received: No service could be changed: replication_status in ['parpen@local'] must be \
                ['enabled', 'failed-over'] and must be up to failover.";
    refused(&c.put("/os-services/failover", host.clone()).await, 400, text);
    refused(
        &c.put("/os-services/failover_host", json!({ "host": LOCAL, "backend_id": null })).await,
        400,
        text,
    );
    let none = c.put("/os-services/freeze", json!({ "host": "x" })).await;
    refused(&none, 400, "Invalid input received: No service found with host=x");
    let both = c.put("/os-services/freeze", json!({ "host": LOCAL, "cluster": "c" })).await;
    refused(&both, 400, "Invalid input received: One and only one of cluster and host must be set.");
    assert_eq!(c.delete(&at).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_set_and_told_for_the_services_that_are_meant() {
    let c = Cinder::start().await;
    let set = json!({ "binary": "*", "server": "", "prefix": "parpen", "level": "debug" });
    assert_eq!(c.put("/os-services/set-log", set).await.status, 202);
    let got = c.put("/os-services/get-log", json!({ "binary": "cinder-api", "prefix": null })).await;
    let entry = json!({ "binary": "cinder-api", "host": "parpen", "levels": { "parpen": "DEBUG" } });
    assert_eq!((got.status, got.body), (200, json!({ "log_levels": [entry] })));
    let here = json!({ "binary": "", "server": LOCAL });
    let all = c.put("/os-services/get-log", here).await.body["log_levels"].clone();
    assert_eq!((all.as_array().unwrap().len(), &all[0]["binary"]), (1, &json!("cinder-volume")));
    let elsewhere = json!({ "binary": "*", "server": "elsewhere", "prefix": "x", "level": "ERROR" });
    assert_eq!(c.put("/os-services/set-log", elsewhere).await.status, 202);
    let nothing = c.put("/os-services/get-log", json!({ "prefix": "x" })).await.body["log_levels"][0].clone();
    assert_eq!(nothing["levels"], json!({}), "another host's levels are not ours");
    let bad = c.put("/os-services/set-log", json!({ "level": "loud" })).await;
    refused(&bad, 400, "Invalid input received: loud is not a valid log level.");
    assert_eq!(c.put("/os-services/set-log", json!({ "level": null })).await.status, 400);
    assert_eq!(c.put("/os-services/get-log", json!({ "binary": "nova-api" })).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_hosts_and_capabilities_tell_true_figures() {
    let c = Cinder::start().await;
    c.volume(json!({ "size": 2 })).await;
    let v = c.volume(json!({ "size": 1 })).await;
    let s = c.post("/snapshots", json!({ "snapshot": { "volume_id": v["id"] } })).await;
    let s = s.body["snapshot"]["id"].as_str().unwrap().to_string();
    c.until(&format!("/snapshots/{s}"), "snapshot", "status", "available").await;
    let brief = c.get("/scheduler-stats/get_pools?name=parpen@local%23local").await.body;
    assert_eq!(brief, json!({ "pools": [{ "name": "parpen@local#local" }] }));
    let full = c.get("/scheduler-stats/get_pools?detail=True").await.body["pools"][0].clone();
    assert_eq!(full["capabilities"]["provisioned_capacity_gb"], 3);
    assert_eq!(full["capabilities"]["total_volumes"], 2);
    let strange = c.get("/scheduler-stats/get_pools?colour=red").await;
    refused(&strange, 400, "Invalid filters colour are found in query options.");
    let kind = json!({ "volume_type": { "name": "d", "extra_specs": { "volume_backend_name": "dummy" } } });
    c.post("/types", kind).await;
    let fits = c.get("/scheduler-stats/get_pools?volume_type=d").await.body;
    assert_eq!(fits, json!({ "pools": [{ "name": "parpen@dummy#dummy" }] }));
    let got = c.get("/capabilities/parpen@local").await;
    let keys = [
        "description",
        "display_name",
        "driver_version",
        "namespace",
        "pool_name",
        "properties",
        "replication_targets",
        "storage_protocol",
        "vendor_name",
        "visibility",
        "volume_backend_name",
    ];
    assert_eq!((got.status, got.keys("")), (200, keys.to_vec()));
    refused(&c.get("/capabilities/x").await, 404, "Can't find service: x");
    let hosts = c.get("/os-hosts").await.body["hosts"].clone();
    let first = hosts[0].as_object().unwrap();
    assert_eq!(first.len(), 6);
    let host = c.get("/os-hosts/parpen@local").await.body["host"].clone();
    let want = |project: &str| {
        json!({ "resource": { "host": LOCAL, "project": project, "volume_count": "2", "total_volume_gb": "3",
                              "snapshot_count": "1", "total_snapshot_gb": "1" } })
    };
    assert_eq!(host, json!([want("(total)"), want(&c.project)]));
    assert_eq!(c.get("/os-hosts/x").await.status, 404);
    let zone = json!([{ "zoneName": "nova", "zoneState": { "available": true } }]);
    assert_eq!(c.get("/os-availability-zone").await.body["availabilityZoneInfo"], zone);
    for pool in [LOCAL, "parpen@dummy"] {
        c.put("/os-services/disable", json!({ "binary": "cinder-volume", "host": pool })).await;
    }
    let zone = c.get("/os-availability-zone").await.body["availabilityZoneInfo"][0].clone();
    assert_eq!(zone["zoneState"]["available"], false, "nothing can be made there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_answer_becomes_a_message() {
    let c = Cinder::start().await;
    c.faults.lock().unwrap().push("create");
    let got = c.post("/volumes", json!({ "volume": { "size": 1 } })).await;
    let id = got.body["volume"]["id"].as_str().unwrap().to_string();
    let request = got.headers["x-openstack-request-id"].to_str().unwrap().to_string();
    c.until(&format!("/volumes/{id}"), "volume", "status", "error").await;
    let message = &message_about(&c, &id).await;
    assert_eq!(message["event_id"], "VOLUME_VOLUME_008_012");
    let text = "create volume from backend storage:Driver failed to create the volume.";
    assert_eq!(message["user_message"], text);
    assert_eq!((&message["resource_uuid"], &message["request_id"]), (&json!(id), &json!(request)));
    let at = format!("/messages/{}", message["id"].as_str().unwrap());
    let keys = [
        "created_at",
        "event_id",
        "guaranteed_until",
        "id",
        "links",
        "message_level",
        "request_id",
        "resource_type",
        "resource_uuid",
        "user_message",
    ];
    assert_eq!(c.get(&at).await.keys("message"), keys);
    assert_eq!(c.get("/messages?resource_type=VOLUME_SNAPSHOT").await.body, json!({ "messages": [] }));
    let demo = c.project("demo").await;
    let stranger = c.persona("anna", &demo, "member").await.1;
    assert_eq!(c.call_as(&stranger, Method::GET, &at, Value::Null).await.status, 404);
    let reader = c.persona("bert", &c.project, "reader").await.1;
    assert_eq!(c.call_as(&reader, Method::DELETE, &at, Value::Null).await.status, 403);
    assert_eq!(c.delete(&at).await.status, 204);
    let gone = format!("Message {} could not be found.", message["id"].as_str().unwrap());
    refused(&c.get(&at).await, 404, &gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_has_none_of_is_answered_as_cinder_does() {
    let c = Cinder::start().await;
    assert_eq!(c.get("/clusters/detail").await.body, json!({ "clusters": [] }));
    refused(&c.get("/clusters/x").await, 404, "Cluster x could not be found.");
    refused(&c.get("/clusters?colour=red").await, 400, "Invalid input received: Invalid filter keys: colour");
    refused(&c.put("/clusters/enable", json!({ "name": "x" })).await, 404, "Cluster x could not be found.");
    assert_eq!(c.get("/consistencygroups/detail").await.body, json!({ "consistencygroups": [] }));
    assert_eq!(c.get("/cgsnapshots").await.body, json!({ "cgsnapshots": [] }));
    let made = c.post("/consistencygroups", json!({ "consistencygroup": { "volume_types": "t" } })).await;
    assert!(made.error().2.starts_with("Group type default_cgsnapshot_type not found."));
    let taken = c.post("/cgsnapshots", json!({ "cgsnapshot": { "consistencygroup_id": "x" } })).await;
    refused(&taken, 404, "Group x could not be found.");
    let none = json!({ "cleaning": [], "unavailable": [] });
    let got = c.post("/workers/cleanup", json!({})).await;
    assert_eq!((got.status, got.body), (202, none));
    let bad = c.post("/workers/cleanup", json!({ "resource_type": "moon" })).await;
    refused(&bad, 400, "Invalid input received: Resource type moon not valid, must be Volume or Snapshot");
    let filters = c.get("/resource_filters?resource=backup").await.body;
    let want = json!([{ "resource": "backup", "filters": ["name", "status", "volume_id"] }]);
    assert_eq!(filters["resource_filters"], want);
    let one = c.get("/extensions/os-quota-sets").await;
    assert_eq!(one.keys("extension"), ["alias", "description", "links", "name", "updated"]);
    assert_eq!(c.get("/extensions/os-nothing").await.status, 404);
}
