//! What volumes and snapshots share: differences, cutting off, freezing.

use parpen_native::doc::{DiffDoc, FlattenWish, PieceDoc, SnapshotDoc, VolumeDoc};

use super::super::client::{Client, segment};
use super::super::progress;
use super::super::{Common, Output, print};

/// Where a volume or snapshot is.
fn path(of: &str) -> String {
    let kind = if of.contains('@') { "snapshots" } else { "volumes" };
    format!("/{kind}/{}", segment(of))
}

pub(super) fn flatten(common: &Common, of: &str, onto: Option<String>) -> anyhow::Result<()> {
    let (client, wish) = (Client::of(common)?, FlattenWish { onto });
    let turning = progress::spinner("copying what is shared");
    let to = format!("{}/flatten", path(of));
    if of.contains('@') {
        let done: anyhow::Result<SnapshotDoc> = client.post(&to, &wish);
        turning.finish_and_clear();
        return print::one(common, &done?);
    }
    let done: anyhow::Result<VolumeDoc> = client.post(&to, &wish);
    turning.finish_and_clear();
    print::one(common, &done?)
}

pub(super) fn freeze(common: &Common, volume: &str, force: bool) -> anyhow::Result<()> {
    let to = format!("{}/freeze?force={force}", path(volume));
    let s: SnapshotDoc = Client::of(common)?.post(&to, &serde_json::json!({}))?;
    print::one(common, &s)
}

pub(super) fn diff(common: &Common, of: &str, from: Option<&str>) -> anyhow::Result<()> {
    let client = Client::of(common)?;
    let from = from.map(|f| format!("&from={}", segment(f))).unwrap_or_default();
    let mut all = DiffDoc { next: Some(0), ..DiffDoc::default() };
    while let Some(offset) = all.next {
        let some: DiffDoc = client.get(&format!("{}/diff?offset={offset}{from}", path(of)))?;
        all.bytes += some.bytes;
        all.next = some.next;
        for piece in some.changed {
            match all.changed.last_mut() {
                Some(last) if (last.offset + last.length, last.zero) == (piece.offset, piece.zero) => {
                    last.length += piece.length;
                }
                _ => all.changed.push(piece),
            }
        }
    }
    if common.output == Output::Json {
        return print::one(common, &all);
    }
    print::list(common, &all.changed)?;
    print::say(format!("{} in {} pieces", print::about(all.bytes), all.changed.len()))
}

impl print::Tabular for PieceDoc {
    fn head() -> Vec<&'static str> {
        vec!["offset", "length", "what"]
    }
    fn row(&self) -> Vec<String> {
        let what = if self.zero { "zeros" } else { "data" };
        vec![self.offset.to_string(), self.length.to_string(), what.into()]
    }
}
