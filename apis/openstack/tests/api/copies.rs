//! What copies of volumes and of groups have of what they are made from, as Cinder has it.

use http::Method;
use serde_json::{Value, json};

use crate::Cinder;
use crate::fields::id;

async fn snapshot(c: &Cinder, of: &Value) -> String {
    let wire = json!({ "snapshot": { "volume_id": of["id"], "force": true } });
    let path = format!("/snapshots/{}", id(&c.post("/snapshots", wire).await.body["snapshot"]));
    id(&c.until(&path, "snapshot", "status", "available").await)
}

/// A copy of a volume with a system on it could not be started from, and did not tell of its image any more.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_what_machines_start_from_are_started_from() {
    let c = Cinder::start().await;
    let image = c.image("bytes").await;
    let v = c.volume(json!({ "size": 1, "imageRef": image })).await;
    let s = snapshot(&c, &v).await;
    let at = format!("/volumes/{}/action", id(&v));
    let later = json!({ "os-set_image_metadata": { "metadata": { "os_distro": "later" } } });
    assert_eq!(c.post(&at, later).await.status, 200);
    let copy = c.volume(json!({ "source_volid": v["id"] })).await;
    assert_eq!(
        (&copy["bootable"], &copy["volume_image_metadata"]["image_id"]),
        (&json!("true"), &json!(image))
    );
    assert_eq!(copy["volume_image_metadata"]["os_distro"], "later");
    let old = c.volume(json!({ "snapshot_id": s })).await;
    assert_eq!(
        (&old["bootable"], &old["volume_image_metadata"]),
        (&json!("true"), &v["volume_image_metadata"])
    );
    assert_eq!(old["volume_image_metadata"].get("os_distro"), None, "as it was when the snapshot was taken");
    let never = json!({ "os-set_bootable": { "bootable": false } });
    assert_eq!(c.post(&at, never).await.status, 200);
    for source in [json!({ "source_volid": v["id"] }), json!({ "snapshot_id": s })] {
        let plain = c.volume(source).await;
        assert_eq!((&plain["bootable"], plain.get("volume_image_metadata")), (&json!("false"), None));
    }
}

/// What was restored had the bytes and nothing else: machines did not start from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_back_what_the_volume_told() {
    let c = Cinder::start().await;
    let image = c.image("bytes").await;
    let new =
        json!({ "size": 1, "imageRef": image, "name": "v", "description": "d", "metadata": { "k": "1" } });
    let v = c.volume(new).await;
    let b = id(&c.post("/backups", json!({ "backup": { "volume_id": v["id"] } })).await.body["backup"]);
    c.until(&format!("/backups/{b}"), "backup", "status", "available").await;
    let at = format!("/volumes/{}", id(&v));
    let later = json!({ "volume": { "name": "w", "metadata": { "k": "2", "l": "3" } } });
    assert_eq!(c.call(Method::PUT, &at, later).await.status, 200);
    let other = c.volume(json!({ "size": 1, "name": "other", "metadata": { "m": "4" } })).await;
    let asked = [
        (json!({}), format!("restore_backup_{b}"), json!("v"), json!("d")),
        (json!({ "name": "n" }), "n".to_string(), json!("n"), json!("auto-created_from_restore_from_backup")),
        (json!({ "volume_id": other["id"] }), "other".to_string(), json!("other"), Value::Null),
        (json!({ "volume_id": v["id"] }), "w".to_string(), json!("w"), json!("d")),
    ];
    for (wish, first, name, description) in asked {
        let got = c.post(&format!("/backups/{b}/restore"), json!({ "restore": wish })).await;
        assert_eq!((got.status, &got.body["restore"]["volume_name"]), (202, &json!(first)), "{wish}");
        let path = format!("/volumes/{}", got.body["restore"]["volume_id"].as_str().unwrap());
        let now = c.until(&path, "volume", "status", "available").await;
        assert_eq!((&now["name"], &now["description"]), (&name, &description), "{wish}");
        assert_eq!(now["metadata"], json!({ "k": "1" }), "{wish}");
        assert_eq!(
            (&now["bootable"], &now["volume_image_metadata"]["image_id"]),
            (&json!("true"), &json!(image))
        );
        c.until(&format!("/backups/{b}"), "backup", "status", "available").await;
    }
    let plain = c.volume(json!({ "size": 1 })).await;
    let empty =
        id(&c.post("/backups", json!({ "backup": { "volume_id": plain["id"] } })).await.body["backup"]);
    c.until(&format!("/backups/{empty}"), "backup", "status", "available").await;
    let wish = json!({ "restore": { "volume_id": v["id"] } });
    assert_eq!(c.post(&format!("/backups/{empty}/restore"), wish).await.status, 202);
    let now = c.until(&at, "volume", "status", "available").await;
    assert_eq!(now["metadata"], json!({ "k": "1" }), "there was nothing to be brought back");
}

/// A type that is encrypted otherwise was taken, and made a volume that was not what its type says.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_encrypted_as_its_source_is() {
    let c = Cinder::start().await;
    let mut types = Vec::new();
    for name in ["sealed", "alike", "plain"] {
        let t = id(&c.post("/types", json!({ "volume_type": { "name": name } })).await.body["volume_type"]);
        let wire = json!({ "encryption": { "provider": "luks", "control_location": "front-end" } });
        if name != "plain" {
            assert_eq!(c.post(&format!("/types/{t}/encryption"), wire).await.status, 200);
        }
        types.push(t);
    }
    let sealed = c.volume(json!({ "size": 1, "volume_type": types[0] })).await;
    let plain = c.volume(json!({ "size": 1 })).await;
    let (of_sealed, of_plain) = (snapshot(&c, &sealed).await, snapshot(&c, &plain).await);
    let (volume, omit) =
        ("either match source volume, or omit type argument", "recommend omitting the type argument");
    for (source, wanted, hint) in [
        (json!({ "source_volid": sealed["id"] }), &types[2], volume),
        (json!({ "source_volid": plain["id"] }), &types[0], volume),
        (json!({ "snapshot_id": of_sealed }), &types[2], omit),
        (json!({ "snapshot_id": of_plain }), &types[0], omit),
    ] {
        let mut new = source;
        new["volume_type"] = json!(wanted);
        let got = c.post("/volumes", json!({ "volume": new })).await.error();
        let text = format!(
            "Invalid input received: Invalid volume_type provided: {wanted} (requested type is not compatible; {hint})."
        );
        assert_eq!((got.0, got.2), (400, text));
    }
    let copy = c.volume(json!({ "source_volid": sealed["id"], "volume_type": types[1] })).await;
    assert_eq!(copy["volume_type"], "alike", "another type with the same encryption");
    assert_eq!(
        c.volume(json!({ "source_volid": plain["id"], "volume_type": types[2] })).await["volume_type"],
        "plain"
    );
}

/// Members of a group's copy bore the names of the originals, and a snapshot as their source that nobody can look at.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_copied_group_have_no_names_and_tell_their_source() {
    let c = Cinder::start().await;
    let kind = c.post("/group_types", json!({ "group_type": { "name": "together" } })).await;
    let wire =
        json!({ "group": { "group_type": kind.body["group_type"]["id"], "volume_types": ["__DEFAULT__"] } });
    let made = c.post("/groups", wire).await;
    assert_eq!(made.body["group"]["name"], Value::Null);
    let g = id(&made.body["group"]);
    c.until(&format!("/groups/{g}"), "group", "status", "available").await;
    let image = c.image("bytes").await;
    let new = json!({
        "size": 1, "name": "in", "description": "d", "group_id": g, "volume_type": "__DEFAULT__", "imageRef": image });
    let v = c.volume(new).await;
    let taken = c.post("/group_snapshots", json!({ "group_snapshot": { "group_id": g } })).await;
    assert_eq!(taken.body["group_snapshot"]["name"], Value::Null);
    let gs = id(&taken.body["group_snapshot"]);
    c.until(&format!("/group_snapshots/{gs}"), "group_snapshot", "status", "available").await;
    let part = c.get("/snapshots").await.body["snapshots"][0]["id"].clone();
    for (source, volume, snapshot) in [
        (json!({ "source_group_id": g }), v["id"].clone(), Value::Null),
        (json!({ "group_snapshot_id": gs }), Value::Null, part),
    ] {
        let made = c.post("/groups/action", json!({ "create-from-src": source })).await;
        let path = format!("/groups/{}", id(&made.body["group"]));
        c.until(&path, "group", "status", "available").await;
        let members = c.get(&format!("{path}?list_volume=True")).await.body["group"]["volumes"].clone();
        let member =
            c.get(&format!("/volumes/{}", members[0].as_str().unwrap())).await.body["volume"].clone();
        assert_eq!((&member["name"], &member["description"]), (&Value::Null, &Value::Null));
        assert_eq!((&member["source_volid"], &member["snapshot_id"]), (&volume, &snapshot));
        assert_eq!(
            (&member["bootable"], &member["volume_image_metadata"]),
            (&json!("true"), &v["volume_image_metadata"])
        );
    }
}

/// What was given no name had an empty one, and a name could not be taken away.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_name_shows_none() {
    let c = Cinder::start().await;
    let v = c.volume(json!({ "size": 1 })).await;
    assert_eq!(v["name"], Value::Null);
    let s = snapshot(&c, &v).await;
    let b = c.post("/backups", json!({ "backup": { "volume_id": v["id"] } })).await.body["backup"].clone();
    assert_eq!(b["name"], Value::Null);
    c.until(&format!("/backups/{}", id(&b)), "backup", "status", "available").await;
    for (path, key) in [
        (format!("/volumes/{}", id(&v)), "volume"),
        (format!("/snapshots/{s}"), "snapshot"),
        (format!("/backups/{}", id(&b)), "backup"),
    ] {
        assert_eq!(c.get(&path).await.body[key]["name"], Value::Null, "{path}");
        for name in [json!("n"), Value::Null] {
            let got = c.call(Method::PUT, &path, json!({ key: { "name": name } })).await;
            assert_eq!((got.status, &got.body[key]["name"]), (200, &name), "{path}");
        }
        assert_eq!(c.get(&path).await.body[key]["name"], Value::Null, "{path}");
    }
}
