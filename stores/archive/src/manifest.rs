//! A manifest: all that is needed to read one backup, without any other manifest. Written last, so a backup without one
//! is none.

use parpen_model::{Condition, ports::Archived};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::segment::{BLOCK, SegmentRef, damaged, sum};

const MAGIC: &[u8; 8] = b"PARPMAN1";
/// Largest manifest that is read, unpacked: that of a volume of 64 TiB.
const MAX: usize = 1 << 30;

/// What one backup added: the newest layer that knows a block has its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layer {
    /// The backup that wrote it.
    pub(crate) backup: Uuid,
    /// The volume's size then; what lies beyond did not exist.
    pub(crate) size: u64,
    /// Ascending.
    pub(crate) segments: Vec<SegmentRef>,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) schema: u32,
    pub(crate) backup: Uuid,
    pub(crate) volume: Uuid,
    /// The backup that it was compared with; its layers are listed here too, so it may go.
    pub(crate) base: Option<Uuid>,
    pub(crate) size: u64,
    pub(crate) block: u64,
    /// What the service knows of the backup, for importing it elsewhere.
    pub(crate) facts: serde_json::Value,
    /// The newest first.
    pub(crate) layers: Vec<Layer>,
}

impl Manifest {
    /// As it is stored: magic, SHA-256 of the rest, zstd of JSON.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Condition> {
        let text = serde_json::to_vec(self).map_err(Condition::internal)?;
        let packed = zstd::bulk::compress(&text, 3).map_err(Condition::internal)?;
        let mut out = Vec::with_capacity(packed.len() + 40);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&sum(&packed));
        out.extend_from_slice(&packed);
        Ok(out)
    }

    /// From what was stored.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Manifest, Condition> {
        let bad = |why: &str| damaged(format_args!("its manifest {why}"));
        let (head, packed) = bytes.split_at_checked(40).ok_or_else(|| bad("is too short"))?;
        if &head[..8] != MAGIC || head[8..] != sum(packed) {
            return Err(bad("does not match its checksum"));
        }
        let room = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
        let room = room.filter(|n| *n <= MAX as u64).ok_or_else(|| bad("is too large"))?;
        let text = zstd::bulk::decompress(packed, room as usize).map_err(|_| bad("cannot be unpacked"))?;
        let m: Manifest = serde_json::from_slice(&text).map_err(|_| bad("is of another form"))?;
        if m.schema != 1 || m.block != BLOCK {
            return Err(Condition::Unsupported("the backup was made by a later version".into()));
        }
        let ascends = |l: &Layer| {
            l.segments.iter().all(|s| s.first <= s.last && plain(&s.name))
                && l.segments.windows(2).all(|w| w[0].last < w[1].first)
        };
        match m.layers.iter().all(ascends) && !m.layers.is_empty() {
            true => Ok(m),
            false => Err(bad("lists segments that cannot be")),
        }
    }

    /// Figures for the service.
    pub(crate) fn archived(&self) -> Archived {
        let own = self.layers.first().filter(|l| l.backup == self.backup);
        let segments = own.map(|l| l.segments.as_slice()).unwrap_or_default();
        Archived {
            size: self.size,
            stored: segments.iter().map(|s| s.bytes).sum(),
            objects: segments.len() as u64 + 1,
        }
    }

    /// The names of all segments that it needs.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().flat_map(|l| l.segments.iter().map(|s| s.name.as_str()))
    }
}

/// `<backup>/<number>` and nothing else: a manifest from elsewhere names no other object.
fn plain(name: &str) -> bool {
    let Some((backup, number)) = name.split_once('/') else { return false };
    Uuid::parse_str(backup).is_ok() && number.len() == 8 && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_back_and_damage_is_noticed() {
        let segment = SegmentRef {
            name: format!("{}/00000000", Uuid::nil()),
            first: 0,
            last: 4,
            bytes: 10,
            index: 8,
            entries: 1,
            sum: "00".into(),
        };
        let layer = Layer { backup: Uuid::nil(), size: BLOCK, segments: vec![segment] };
        let m = Manifest {
            schema: 1,
            backup: Uuid::nil(),
            volume: Uuid::nil(),
            base: None,
            size: BLOCK,
            block: BLOCK,
            facts: serde_json::json!({"name": "x"}),
            layers: vec![layer],
        };
        let bytes = m.to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), m);
        assert_eq!(m.archived(), Archived { size: BLOCK, stored: 10, objects: 2 });
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert!(Manifest::from_bytes(&bad).is_err(), "{at}");
        }
        let mut evil = m.clone();
        evil.layers[0].segments[0].name = "../../../etc/passwd".into();
        assert!(Manifest::from_bytes(&evil.to_bytes().unwrap()).is_err());
        assert!(Manifest::from_bytes(b"").is_err());
    }
}
