//! One of everything in a project, and who may see it.

use std::collections::BTreeMap;

use http::Method;
use parpen_identity::{Credential, Principal};
use parpen_model::{
    Attachment, Backup, Group, GroupSnapshot, GroupType, Host, Image, Lock, Message, Noun, Pin, Pool,
    Project, Qos, Query, Quota, Scope, Service, Snapshot, Transfer, Volume, VolumeType, read,
};
use serde_json::{Value, json};

use crate::Cinder;

/// The ids of one of everything.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    pub(super) project: String,
    pub(super) user: String,
    pub(super) credential: String,
    pub(super) volume: String,
    pub(super) snapshot: String,
    /// Of the volume that is held.
    pub(super) held: String,
    pub(super) attachment: String,
    pub(super) backup: String,
    pub(super) image: String,
    pub(super) group: String,
    pub(super) group_snapshot: String,
    /// Of a volume that is on offer.
    pub(super) transfer: String,
    pub(super) message: String,
    pub(super) group_type: String,
    pub(super) volume_type: String,
    pub(super) qos: String,
}

impl Ids {
    /// What belongs to the project alone.
    pub(super) fn own(&self) -> [&str; 11] {
        [
            &self.volume,
            &self.snapshot,
            &self.held,
            &self.attachment,
            &self.backup,
            &self.image,
            &self.group,
            &self.group_snapshot,
            &self.transfer,
            &self.message,
            &self.credential,
        ]
    }

    /// Ids of the same form that nothing has.
    pub(super) fn of_nothing(&self) -> Ids {
        let other = |id: &String| {
            let swap = |c: char| char::from_digit(15 - c.to_digit(16).unwrap(), 16).unwrap();
            // The version of a UUID stays what it is.
            let keep = |(i, c): (usize, char)| if c == '-' || i == 14 { c } else { swap(c) };
            id.chars().enumerate().map(keep).collect::<String>()
        };
        Ids {
            project: other(&self.project),
            user: other(&self.user),
            credential: other(&self.credential),
            volume: other(&self.volume),
            snapshot: other(&self.snapshot),
            held: other(&self.held),
            attachment: other(&self.attachment),
            backup: other(&self.backup),
            image: other(&self.image),
            group: other(&self.group),
            group_snapshot: other(&self.group_snapshot),
            transfer: other(&self.transfer),
            message: other(&self.message),
            group_type: self.group_type.clone(),
            volume_type: self.volume_type.clone(),
            qos: self.qos.clone(),
        }
    }
}

/// A running API with a project that has one of everything.
pub(super) struct Scene {
    pub(super) c: Cinder,
    /// What the project has.
    pub(super) ids: Ids,
    /// A token of a member of that project.
    pub(super) member: String,
    /// A token of a member of another project, who has nothing.
    pub(super) stranger: String,
}

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap_or_else(|| panic!("{document}")).to_string()
}

/// A maker of things in the name of one token.
struct Maker<'a> {
    c: &'a Cinder,
    token: &'a str,
}

impl Maker<'_> {
    async fn post(&self, path: &str, key: &str, body: Value) -> Value {
        let got = self.c.call_as(self.token, Method::POST, path, body).await;
        assert!(got.status < 300, "{path}: {} {}", got.status, got.body);
        got.body[key].clone()
    }

    async fn until(&self, path: &str, key: &str, wanted: &str) {
        for _ in 0..500 {
            let got = self.c.call_as(self.token, Method::GET, path, Value::Null).await;
            if got.body[key]["status"] == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{path} never was {wanted}");
    }

    async fn volume(&self, name: &str) -> String {
        let body = json!({ "volume": { "size": 1, "name": name, "metadata": { "k": "theirs" } } });
        let v = id(&self.post("/volumes", "volume", body).await);
        self.until(&format!("/volumes/{v}"), "volume", "available").await;
        v
    }

    async fn image(&self) -> String {
        let body = json!({ "name": "theirs-image", "disk_format": "raw", "container_format": "bare",
                           "visibility": "private", "tags": ["t"] });
        let headers = [("x-auth-token", self.token)];
        let got = self.c.raw(Method::POST, "/image/v2/images", &headers, &body.to_string()).await;
        let i = id(&got.body);
        let headers = [("x-auth-token", self.token), ("content-type", "application/octet-stream")];
        let got = self.c.raw(Method::PUT, &format!("/image/v2/images/{i}/file"), &headers, "theirs").await;
        assert_eq!(got.status, 204, "{}", got.body);
        i
    }

    /// A message is what a failure leaves.
    async fn message(&self) -> String {
        self.c.faults.lock().unwrap().push("create");
        let broken = self.post("/volumes", "volume", json!({ "volume": { "size": 1 } })).await;
        let path = format!("/volumes/{}", id(&broken));
        self.until(&path, "volume", "error").await;
        loop {
            let all = self.c.call_as(self.token, Method::GET, "/messages", Value::Null).await;
            if let Some(first) = all.body["messages"].as_array().unwrap().first() {
                return id(first);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

impl Scene {
    pub(super) async fn start() -> Scene {
        let c = Cinder::start().await;
        let project = c.project("theirs").await;
        let (user, member) = c.persona("theirs-user", &project, "member").await;
        let others = c.project("others").await;
        let (_, stranger) = c.persona("stranger", &others, "member").await;
        let ids = Scene::furnish(&c, &member, (project, user)).await;
        let scene = Scene { c, ids, member, stranger };
        scene.settle().await;
        scene
    }

    async fn furnish(c: &Cinder, token: &str, (project, user): (String, String)) -> Ids {
        let (m, admin) = (Maker { c, token }, Maker { c, token: &c.token });
        let spec = json!({ "qos_specs": { "name": "q", "consumer": "back-end", "total_iops_sec": "9" } });
        let qos = id(&admin.post("/qos-specs", "qos_specs", spec).await);
        let kind = json!({ "volume_type": { "name": "vt", "extra_specs": { "any:k": "v" } } });
        let volume_type = id(&admin.post("/types", "volume_type", kind).await);
        let kind = json!({ "group_type": { "name": "gt", "group_specs": { "k": "v" } } });
        let group_type = id(&admin.post("/group_types", "group_type", kind).await);
        let message = m.message().await;
        let volume = m.volume("theirs-volume").await;
        let body = json!({ "snapshot": { "volume_id": volume, "name": "theirs-snapshot",
                                         "metadata": { "k": "theirs" } } });
        let snapshot = id(&m.post("/snapshots", "snapshot", body).await);
        m.until(&format!("/snapshots/{snapshot}"), "snapshot", "available").await;
        let body = json!({ "backup": { "volume_id": volume, "name": "theirs-backup" } });
        let backup = id(&m.post("/backups", "backup", body).await);
        m.until(&format!("/backups/{backup}"), "backup", "available").await;
        let held = m.volume("theirs-held").await;
        let body = json!({ "attachment": { "volume_uuid": held, "instance_uuid": "theirs-instance",
                                           "connector": { "host": "theirs-host" } } });
        let attachment = id(&m.post("/attachments", "attachment", body).await);
        let offered = m.volume("theirs-offered").await;
        let body = json!({ "transfer": { "volume_id": offered, "name": "theirs-transfer" } });
        let transfer = id(&m.post("/volume-transfers", "transfer", body).await);
        let body = json!({ "group": { "name": "theirs-group", "group_type": group_type,
                                      "volume_types": ["__DEFAULT__"] } });
        let group = id(&m.post("/groups", "group", body).await);
        let body = json!({ "group_snapshot": { "group_id": group, "name": "theirs-group-snapshot" } });
        let group_snapshot = id(&m.post("/group_snapshots", "group_snapshot", body).await);
        m.until(&format!("/group_snapshots/{group_snapshot}"), "group_snapshot", "available").await;
        let path = format!("/users/{user}/application_credentials");
        let body = json!({ "application_credential": { "name": "theirs-credential" } });
        let made = c.identity_as(token, Method::POST, &path, body).await;
        let credential = id(&made.body["application_credential"]);
        let image = m.image().await;
        Ids {
            project,
            user,
            credential,
            volume,
            snapshot,
            held,
            attachment,
            backup,
            image,
            group,
            group_snapshot,
            transfer,
            message,
            group_type,
            volume_type,
            qos,
        }
    }

    /// Waits until no job runs.
    pub(super) async fn settle(&self) {
        let (jobs, actor) = (&self.c.house.ports.jobs, &self.c.house.actor);
        while let Some(job) = jobs.list(actor).await.unwrap().into_iter().find(|j| !j.is_final()) {
            assert!(job.error.is_none(), "it cannot go on: {job:?}");
            // A failure is an end, too.
            let _ = jobs.wait(job.id).await;
        }
    }

    /// How many times something was committed.
    pub(super) async fn commits(&self) -> u64 {
        parpen_service::projects::generation(&self.c.house.ports).await.unwrap()
    }

    /// Every row but those of jobs and tokens, as text by its id.
    pub(super) async fn dump(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        macro_rules! rows {
            ($($noun:ty),*) => { $(self.rows::<$noun>(&mut all).await;)* };
        }
        rows!(Volume, Snapshot, Attachment, Backup, Image, Group, GroupSnapshot, GroupType, Transfer);
        rows!(
            VolumeType, Qos, Quota, Pool, Project, Message, Service, Host, Lock, Pin, Principal, Credential
        );
        all
    }

    async fn rows<N: Noun + std::fmt::Debug + Send + 'static>(&self, into: &mut BTreeMap<String, String>) {
        let found: Vec<N> =
            read(&*self.c.house.ports.meta, |tx| tx.list(Scope::All, &Query::default())).await.unwrap();
        into.extend(found.iter().map(|n| (format!("{:?} {}", N::KIND, n.id()), format!("{n:?}"))));
    }
}
