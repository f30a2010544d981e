//! Metadata of volumes and snapshots: documents of texts, kept verbatim.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Attributes, Condition, Kind};
use parpen_service::volumes::ChangeAttributes;
use serde_json::{Map, Value};

use crate::cx::{Cx, one};
use crate::fields::{Fields, document, required};
use crate::from_wire::{IMAGE, METADATA};
use crate::states::{DESCRIBED, reword};
use crate::{snapshots, to_wire, volumes};

/// Longest value of what a volume keeps of its image, in characters.
const IMAGE_TEXT_MAX: usize = 65_535;

/// What has the metadata.
#[derive(Clone, Copy)]
enum Of {
    Volume,
    Snapshot,
}

/// The document as it is, and the revision of its owner.
async fn now(cx: &Cx, of: Of, space: &str) -> Result<(Map<String, Value>, i64), Condition> {
    let pick = |a: &Attributes| a.get(space).cloned().unwrap_or_default();
    Ok(match of {
        Of::Volume => {
            let v = volumes::get(cx).await?.volume;
            (pick(&v.attributes), v.stamp.revision)
        }
        Of::Snapshot => {
            let s = snapshots::get(cx).await?.snapshot;
            (pick(&s.attributes), s.stamp.revision)
        }
    })
}

/// Changes the document; `expect` says at which revision of its owner only. Answers it as it is then.
async fn change(
    cx: &Cx,
    of: Of,
    space: &'static str,
    expect: Option<i64>,
    mut how: impl FnMut(&mut Map<String, Value>) + Send + 'static,
) -> Result<Value, Condition> {
    let attributes: ChangeAttributes = Box::new(move |attributes| {
        let mut document = attributes.get(space).cloned().unwrap_or_default();
        how(&mut document);
        attributes.set(space, document);
    });
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let all = match of {
        Of::Volume => {
            use parpen_service::volumes::{Edit, edit};
            let wanted = Edit { attributes: Some(attributes), expect, when: DESCRIBED, ..Edit::default() };
            let done = edit(ports, actor, volumes::id(cx).await?, wanted).await;
            // A key is dropped from the document that was looked at, and from no other.
            let doing = if expect.is_some() { "Deleting" } else { "Updating" };
            let text = |now: &str| {
                format!("Invalid volume: {doing} volume metadata is not allowed for volumes in {now} status.")
            };
            reword(done, text)?.0.attributes
        }
        Of::Snapshot => {
            use parpen_service::snapshots::{Edit, edit};
            let wanted = Edit { attributes: Some(attributes), expect, ..Edit::default() };
            edit(ports, actor, snapshots::id(cx).await?, wanted).await?.0.attributes
        }
    };
    Ok(to_wire::texts(&all, space))
}

async fn given(cx: &mut Cx) -> Result<Map<String, Value>, Condition> {
    let fields = Fields(document(&mut cx.request).await?);
    fields.only("body", &["metadata"])?;
    fields.texts("metadata")?.ok_or_else(|| required("metadata"))
}

async fn show(cx: Cx, of: Of) -> Result<Reply, Condition> {
    one(StatusCode::OK, "metadata", Value::Object(now(&cx, of, METADATA).await?.0))
}

async fn merge(mut cx: Cx, of: Of) -> Result<Reply, Condition> {
    let more = given(&mut cx).await?;
    let all = change(&cx, of, METADATA, None, move |document| document.extend(more.clone())).await?;
    one(StatusCode::OK, "metadata", all)
}

async fn replace(mut cx: Cx, of: Of) -> Result<Reply, Condition> {
    let new = given(&mut cx).await?;
    one(
        StatusCode::OK,
        "metadata",
        change(&cx, of, METADATA, None, move |document| *document = new.clone()).await?,
    )
}

fn no_key(cx: &Cx, of: Of, key: &str) -> Condition {
    let noun = match of {
        Of::Volume => "Volume",
        Of::Snapshot => "Snapshot",
    };
    Condition::not_found(Kind::Other, format!("{noun} {} has no metadata with key {key}.", cx.param("id")))
}

async fn item(cx: Cx, of: Of) -> Result<Reply, Condition> {
    let key = cx.param("key").to_string();
    let value = now(&cx, of, METADATA).await?.0.remove(&key).ok_or_else(|| no_key(&cx, of, &key))?;
    one(StatusCode::OK, "meta", Value::Object(Map::from_iter([(key, value)])))
}

async fn set(mut cx: Cx, of: Of) -> Result<Reply, Condition> {
    let fields = Fields(document(&mut cx.request).await?);
    fields.only("body", &["meta"])?;
    let meta = fields.texts("meta")?.ok_or_else(|| required("meta"))?;
    if meta.len() != 1 || !meta.contains_key(cx.param("key")) {
        return Err(Condition::invalid("meta", "it must hold exactly the key that the path names"));
    }
    let more = meta.clone();
    change(&cx, of, METADATA, None, move |document| document.extend(more.clone())).await?;
    one(StatusCode::OK, "meta", Value::Object(meta))
}

/// Removes keys that must be there.
async fn drop_key(cx: &Cx, of: Of, space: &'static str, key: String) -> Result<Reply, Condition> {
    let (document, revision) = now(cx, of, space).await?;
    if !document.contains_key(&key) {
        return Err(no_key(cx, of, &key));
    }
    change(cx, of, space, Some(revision), move |document| {
        document.shift_remove(&key);
    })
    .await?;
    Ok(Reply::empty(StatusCode::OK))
}

async fn unset(cx: Cx, of: Of) -> Result<Reply, Condition> {
    let key = cx.param("key").to_string();
    drop_key(&cx, of, METADATA, key).await
}

pub(crate) async fn image_set(cx: Cx) -> Result<Reply, Condition> {
    let more = cx.argument().long_texts("metadata", IMAGE_TEXT_MAX)?.ok_or_else(|| required("metadata"))?;
    let all = change(&cx, Of::Volume, IMAGE, None, move |document| document.extend(more.clone())).await?;
    one(StatusCode::OK, "metadata", all)
}

pub(crate) async fn image_unset(cx: Cx) -> Result<Reply, Condition> {
    let key = cx.argument().name("key")?;
    drop_key(&cx, Of::Volume, IMAGE, key).await
}

pub(crate) async fn image_show(cx: Cx) -> Result<Reply, Condition> {
    let all = now(&cx, Of::Volume, IMAGE).await?.0;
    if all.is_empty() {
        let text = format!("Glance metadata for volume/snapshot {} cannot be found.", cx.param("id"));
        return Err(Condition::not_found(Kind::Other, text));
    }
    one(StatusCode::OK, "metadata", Value::Object(all))
}

macro_rules! both {
    ($($verb:ident: $volume:ident $snapshot:ident;)*) => {$(
        pub(crate) async fn $volume(cx: Cx) -> Result<Reply, Condition> {
            $verb(cx, Of::Volume).await
        }
        pub(crate) async fn $snapshot(cx: Cx) -> Result<Reply, Condition> {
            $verb(cx, Of::Snapshot).await
        }
    )*};
}

both! {
    show: volume_show snapshot_show;
    merge: volume_merge snapshot_merge;
    replace: volume_replace snapshot_replace;
    item: volume_item snapshot_item;
    set: volume_set snapshot_set;
    unset: volume_unset snapshot_unset;
}
