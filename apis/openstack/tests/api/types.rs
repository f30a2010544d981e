//! Volume types and quality of service.

use http::Method;
use serde_json::{Value, json};

use crate::{Cinder, Got};

/// Makes a type; its id.
async fn make(c: &Cinder, fields: Value) -> String {
    let got = c.post("/types", json!({ "volume_type": fields })).await;
    assert_eq!(got.status, 200, "{}", got.body);
    got.body["volume_type"]["id"].as_str().unwrap().to_string()
}

fn refused(got: &Got, status: u16, text: &str) {
    let (found, _, message) = got.error();
    assert_eq!((found, message.contains(text)), (status, true), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_has_exactly_its_fields_and_follows_its_edits() {
    let c = Cinder::start().await;
    let fields = json!({ "name": "fast", "description": "d", "extra_specs": { "a": "b" } });
    let got = c.post("/types", json!({ "volume_type": fields })).await;
    let full = [
        "description",
        "extra_specs",
        "id",
        "is_public",
        "name",
        "os-volume-type-access:is_public",
        "qos_specs_id",
    ];
    assert_eq!((got.status, got.keys("volume_type")), (200, full[..6].to_vec()));
    let id = got.body["volume_type"]["id"].as_str().unwrap().to_string();
    let shown = c.get(&format!("/types/{id}")).await;
    assert_eq!(shown.keys("volume_type"), full);
    assert_eq!(shown.body["volume_type"]["extra_specs"], json!({ "a": "b" }));
    let again = c.post("/types", json!({ "volume_type": fields })).await;
    refused(&again, 409, "Volume Type fast already exists.");
    let edit = json!({ "volume_type": { "name": "faster", "is_public": "False" } });
    let got = c.put(&format!("/types/{id}"), edit).await;
    assert_eq!(got.keys("volume_type"), ["description", "extra_specs", "id", "is_public", "name"]);
    assert_eq!(got.body["volume_type"]["is_public"], false);
    for (edit, text) in [
        (json!({}), "Specify volume type name, description, is_public"),
        (json!({ "name": "  " }), "Volume type name can not be empty."),
        (json!({ "name": "__" , "x": 1 }), "Additional properties are not allowed ('x' was unexpected)"),
        (json!({ "is_public": "maybe" }), "is not of type 'boolean'"),
    ] {
        refused(&c.put(&format!("/types/{id}"), json!({ "volume_type": edit })).await, 400, text);
    }
    assert_eq!(c.delete(&format!("/types/{id}")).await.status, 202);
    refused(&c.delete(&format!("/types/{id}")).await, 404, &format!("Volume type {id} could not be found."));
    let default = "00000000-0000-0000-0000-000000000000";
    refused(
        &c.delete(&format!("/types/{default}")).await,
        400,
        "is a default volume type and cannot be deleted.",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_public_types_unless_asked_and_filter_by_specs() {
    let c = Cinder::start().await;
    make(&c, json!({ "name": "a", "extra_specs": { "k": "v" } })).await;
    make(&c, json!({ "name": "b", "os-volume-type-access:is_public": false })).await;
    let names = async |query: &str| {
        let got = c.get(&format!("/types{query}")).await;
        let mut all: Vec<String> = got.body["volume_types"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["name"].as_str().unwrap().to_string())
            .collect();
        all.sort();
        all
    };
    assert_eq!(names("").await, ["__DEFAULT__", "a"]);
    assert_eq!(names("?is_public=None").await, ["__DEFAULT__", "a", "b"]);
    assert_eq!(names("?is_public=False").await, ["b"]);
    assert_eq!(names("?extra_specs=%7B'k':%20'v'%7D").await, ["a"]);
    assert_eq!(names("?extra_specs=%7B'k':%20'w'%7D").await, [""; 0]);
    refused(&c.get("/types?is_public=maybe").await, 400, "Invalid is_public filter [maybe]");
    let page = c.get("/types?is_public=none&limit=1").await;
    assert_eq!(page.body["volume_types"].as_array().unwrap().len(), 1);
    assert!(
        page.body["volume_type_links"][0]["href"]
            .as_str()
            .unwrap()
            .starts_with("http://h:1/volume/v3/types?")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn specs_are_changed_while_no_volume_uses_the_type_and_bind_its_volumes() {
    let c = Cinder::start().await;
    let id = make(&c, json!({ "name": "fast" })).await;
    let specs = format!("/types/{id}/extra_specs");
    let more = json!({ "extra_specs": { "volume_backend_name": "dummy", "multiattach": "<is> True" } });
    let got = c.post(&specs, more.clone()).await;
    assert_eq!((got.status, got.body), (200, more));
    assert_eq!(c.put(&format!("{specs}/x"), json!({ "x": "y" })).await.body, json!({ "x": "y" }));
    refused(&c.put(&format!("{specs}/x"), json!({ "z": "y" })).await, 400, "Request body and URI mismatch");
    refused(&c.post(&specs, json!({ "extra_specs": { "a b": "y" } })).await, 400, "'a b' was unexpected");
    assert_eq!(c.get(&format!("{specs}/x")).await.body, json!({ "x": "y" }));
    assert_eq!(c.delete(&format!("{specs}/x")).await.status, 202);
    let none = format!("Volume Type {id} has no extra specs with key x.");
    refused(&c.delete(&format!("{specs}/x")).await, 404, &none);
    refused(&c.get(&format!("{specs}/x")).await, 404, &none);
    let v = c.volume(json!({ "size": 1, "volume_type": "fast" })).await;
    assert_eq!(v["os-vol-host-attr:host"], "parpen@dummy#dummy");
    assert_eq!((&v["multiattach"], &v["volume_type_id"]), (&json!(true), &json!(id)));
    let used = "Volume Type is currently in use.";
    refused(&c.post(&specs, json!({ "extra_specs": { "a": "b" } })).await, 400, used);
    refused(&c.delete(&format!("{specs}/multiattach")).await, 400, used);
    refused(&c.delete(&format!("/types/{id}")).await, 400, "Target volume type is still in use.");
    let clone = c.volume(json!({ "size": 1, "source_volid": v["id"] })).await;
    assert_eq!(clone["volume_type"], "fast", "a copy has its source's type");
}

#[tokio::test(flavor = "multi_thread")]
async fn access_and_default_types_are_by_project() {
    let c = Cinder::start().await;
    let open = make(&c, json!({ "name": "open" })).await;
    let id = make(&c, json!({ "name": "secret", "os-volume-type-access:is_public": false })).await;
    let action = format!("/types/{id}/action");
    let body = |verb: &str| json!({ verb: { "project": c.project } });
    assert_eq!(c.post(&action, body("addProjectAccess")).await.status, 202);
    refused(&c.post(&action, body("addProjectAccess")).await, 409, "combination already exists.");
    let got = c.get(&format!("/types/{id}/os-volume-type-access")).await;
    let entry = json!({ "volume_type_id": id, "project_id": c.project });
    assert_eq!(got.body, json!({ "volume_type_access": [entry] }));
    assert_eq!(c.post(&action, body("removeProjectAccess")).await.status, 202);
    refused(&c.post(&action, body("removeProjectAccess")).await, 404, "Volume type access not found for");
    let public = c.get(&format!("/types/{open}/os-volume-type-access")).await;
    refused(&public, 404, "Access list not available for public volume types.");
    let wrong = c.post(&format!("/types/{open}/action"), body("addProjectAccess")).await;
    refused(&wrong, 400, "Type access modification is not applicable to public volume type.");

    let at = format!("/default-types/{}", c.project);
    refused(&c.get(&at).await, 404, &format!("Default type for project {} not found.", c.project));
    let set = |name: &str| json!({ "default_type": { "volume_type": name } });
    let want = json!({ "project_id": c.project, "volume_type_id": open });
    assert_eq!(c.put(&at, set("open")).await.body, json!({ "default_type": want }));
    assert_eq!(c.get(&at).await.body, json!({ "default_type": want }));
    assert_eq!(c.get("/default-types").await.body, json!({ "default_types": [want] }));
    assert_eq!(c.get("/types/default").await.body["volume_type"]["name"], "open");
    assert_eq!(c.volume(json!({ "size": 1 })).await["volume_type"], "open");
    refused(&c.put(&at, set("none")).await, 400, "Volume type with name none could not be found.");
    let nobody = "0123456789abcdef0123456789abcdef";
    let unknown = c.put(&format!("/default-types/{nobody}"), set("open")).await;
    refused(&unknown, 404, &format!("Project with id {nobody} not found."));
    assert_eq!(c.delete(&at).await.status, 204);
    assert_eq!(c.get("/types/default").await.body["volume_type"]["name"], "__DEFAULT__");
    let old = [("x-auth-token", c.token.as_str()), ("openstack-api-version", "volume 3.61")];
    let early = c.raw(Method::GET, "/volume/v3/default-types", &old, "").await;
    refused(&early, 404, "The resource could not be found.");
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_recorded_while_no_volume_uses_the_type() {
    let c = Cinder::start().await;
    let id = make(&c, json!({ "name": "luks" })).await;
    let at = format!("/types/{id}/encryption");
    assert_eq!(c.get(&at).await.body, json!({}));
    let spec = json!({ "provider": "luks", "cipher": "aes-xts-plain64", "key_size": "256",
                       "control_location": "front-end" });
    let got = c.post(&at, json!({ "encryption": spec })).await;
    let made = ["cipher", "control_location", "encryption_id", "key_size", "provider", "volume_type_id"];
    assert_eq!((got.status, got.keys("encryption")), (200, made.to_vec()));
    refused(&c.post(&at, json!({ "encryption": spec })).await, 400, "already exists.");
    let shown = c.get(&at).await;
    let full = [
        "cipher",
        "control_location",
        "created_at",
        "deleted",
        "deleted_at",
        "encryption_id",
        "key_size",
        "provider",
        "updated_at",
        "volume_type_id",
    ];
    assert_eq!((shown.keys(""), &shown.body["key_size"]), (full.to_vec(), &json!(256)));
    let item =
        c.put(&format!("{at}/provider"), json!({ "encryption": { "key_size": 512, "cipher": null } })).await;
    assert_eq!(item.body, json!({ "encryption": { "key_size": 512, "cipher": null } }));
    let shown = c.get(&at).await.body;
    assert_eq!(
        (&shown["key_size"], &shown["cipher"], &shown["provider"]),
        (&json!(512), &Value::Null, &json!("luks"))
    );
    assert_eq!(c.get(&format!("{at}/provider")).await.body, json!({ "provider": "luks" }));
    for wrong in [
        json!({ "provider": "luks" }),
        json!({ "control_location": "front-end" }),
        json!({ "provider": "luks", "control_location": "sideways" }),
        json!({ "provider": 1, "control_location": "front-end" }),
        json!({ "provider": "luks", "control_location": "front-end", "key_size": -1 }),
        json!({ "provider": "luks", "control_location": "front-end", "key_size": 1u64 << 40 }),
        json!([]),
    ] {
        refused(&c.post(&at, json!({ "encryption": wrong })).await, 400, "");
    }
    c.volume(json!({ "size": 1, "volume_type": "luks" })).await;
    let change = c.put(&format!("{at}/x"), json!({ "encryption": { "key_size": 1 } })).await;
    refused(&change, 400, "Cannot update encryption specs. Volume type in use.");
    refused(&c.delete(&format!("{at}/x")).await, 400, "Cannot delete encryption specs. Volume type in use.");
    let other = make(&c, json!({ "name": "plain" })).await;
    let none = format!("Volume type encryption for type {other} does not exist.");
    refused(&c.delete(&format!("/types/{other}/encryption/x")).await, 404, &none);
}

#[tokio::test(flavor = "multi_thread")]
async fn qos_specs_are_kept_pointed_at_and_let_go() {
    let c = Cinder::start().await;
    let spec = json!({ "name": "gold", "consumer": "both", "total_iops_sec": "500", "read_bytes_sec": 9 });
    let got = c.post("/qos-specs", json!({ "qos_specs": spec })).await;
    assert_eq!((got.status, got.keys("")), (200, vec!["links", "qos_specs"]), "{}", got.body);
    assert_eq!(got.keys("qos_specs"), ["consumer", "id", "name", "specs"]);
    let id = got.body["qos_specs"]["id"].as_str().unwrap().to_string();
    let at = format!("/qos-specs/{id}");
    refused(&c.post("/qos-specs", json!({ "qos_specs": spec })).await, 409, "QoS Specs gold already exists.");
    let set = json!({ "qos_specs": { "total_bytes_sec": "4096", "consumer": "back-end" } });
    assert_eq!(c.put(&at, set.clone()).await.body, set);
    let want = json!({ "total_iops_sec": "500", "read_bytes_sec": "9", "total_bytes_sec": "4096" });
    assert_eq!(c.get(&at).await.body["qos_specs"]["specs"], want);
    let keys = json!({ "keys": ["read_bytes_sec", "nothing", "total_bytes_sec"] });
    let missing = format!("QoS spec {id} has no spec with key nothing.");
    refused(&c.put(&format!("{at}/delete_keys"), keys).await, 404, &missing);
    let left = json!({ "total_iops_sec": "500", "total_bytes_sec": "4096" });
    assert_eq!(c.get(&at).await.body["qos_specs"]["specs"], left);

    let t = make(&c, json!({ "name": "fast" })).await;
    assert_eq!(c.get(&format!("{at}/associate?vol_type_id={t}")).await.status, 202);
    refused(&c.get(&format!("{at}/associate")).await, 400, "Volume Type id must not be None.");
    let entry = json!({ "association_type": "volume_type", "name": "fast", "id": t });
    assert_eq!(c.get(&format!("{at}/associations")).await.body, json!({ "qos_associations": [entry] }));
    assert_eq!(c.get(&format!("/types/{t}")).await.body["volume_type"]["qos_specs_id"], id);
    let v = c.volume(json!({ "size": 1, "volume_type": "fast" })).await;
    let key = parpen_service::volumes::Key::Id(v["id"].as_str().unwrap().parse().unwrap());
    let row = parpen_service::volumes::get(&c.house.ports, &c.house.actor, &key).await.unwrap().volume;
    let limits = (row.limits.requests_per_second, row.limits.bytes_per_second);
    assert_eq!(limits, (Some(500), Some(4096)));

    let other = json!({ "qos_specs": { "name": "silver", "consumer": "front-end" } });
    let other = c.post("/qos-specs", other).await.body["qos_specs"]["id"].as_str().unwrap().to_string();
    let taken = c.get(&format!("/qos-specs/{other}/associate?vol_type_id={t}")).await;
    refused(&taken, 400, &format!("is already associated with another qos specs: {id}"));
    refused(&c.delete(&at).await, 400, "Qos specs still in use.");
    assert_eq!(c.get(&format!("{at}/disassociate?vol_type_id={t}")).await.status, 202);
    assert_eq!(c.delete(&at).await.status, 202);
    refused(&c.get(&at).await, 404, &format!("No such QoS spec {id}."));
    let listed = c.get("/qos-specs?consumer=front-end").await.body;
    assert_eq!(listed["qos_specs"].as_array().unwrap().len(), 1);
    let bad = json!({ "qos_specs": { "name": "x", "consumer": "me" } });
    refused(&c.post("/qos-specs", bad).await, 400, "Valid consumer of QoS specs are");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_told_of_specs_that_it_keeps_to_itself() {
    let c = Cinder::start().await;
    let t = make(&c, json!({ "name": "fast" })).await;
    let specs = json!({ "qos_specs": { "name": "q", "consumer": "front-end", "read_iops_sec": "9" } });
    let q = c.post("/qos-specs", specs).await.body["qos_specs"]["id"].as_str().unwrap().to_string();
    c.get(&format!("/qos-specs/{q}/associate?vol_type_id={t}")).await;
    let v = c.volume(json!({ "size": 1, "volume_type": "fast" })).await;
    let wish = json!({ "attachment": { "volume_uuid": v["id"], "instance_uuid": "7b2e8a52-8a3c-4c40-8f0a-0a8a3b1f4a11",
                                       "connector": { "host": "node-1" } } });
    let got = c.post("/attachments", wish).await;
    assert_eq!(got.status, 200, "{}", got.body);
    assert_eq!(got.body["attachment"]["connection_info"]["qos_specs"], json!({ "read_iops_sec": "9" }));
}
