//! From documents and paths to commands.

use std::fmt::Display;

use parpen_http::HttpRequest;
use parpen_identity::Actor;
use parpen_model::{Api, Condition, DiskVerb, Driver, IoCeiling, Kind, ScrubVerb, WantedLimits};
use parpen_service::names::{Rename, Space};
use parpen_service::{Ports, snapshots, volumes};

use crate::doc::{CeilingDoc, LimitsWish};

/// The native names: service-wide.
pub(crate) fn space() -> Space {
    Space::global(Api::Native)
}

/// Another name for a volume that is meant by handle or id.
pub(crate) fn renamed(volume: &str, to: String) -> Rename {
    let from = match volume_key(volume) {
        volumes::Key::Id(_) => None,
        volumes::Key::Named(_, name) => Some(name),
    };
    Rename { space: space(), from, to }
}

/// A volume by handle or id.
pub(crate) fn volume_key(text: &str) -> volumes::Key {
    match text.parse() {
        Ok(id) => volumes::Key::Id(id),
        Err(_) => volumes::Key::Named(space(), text.to_string()),
    }
}

/// A snapshot by handle or id, or by `<volume>@<name within it>`.
pub(crate) async fn snapshot(ports: &Ports, actor: &Actor, text: &str) -> Result<snapshots::View, Condition> {
    if let Some((volume, name)) = text.rsplit_once('@') {
        let found = match volumes::get(ports, actor, &volume_key(volume)).await {
            Ok(v) => snapshot_of(ports, actor, &v, name).await,
            Err(e) => Err(e),
        };
        match found {
            // An older volume's snapshot may still bear this text as its handle.
            Err(Condition::NotFound { .. }) => {}
            other => return other,
        }
    }
    let key = match text.parse() {
        Ok(id) => snapshots::Key::Id(id),
        Err(_) => snapshots::Key::Named(space(), text.to_string()),
    };
    snapshots::get(ports, actor, &key).await
}

/// A snapshot of a volume by its name within it.
pub(crate) async fn snapshot_of(
    ports: &Ports,
    actor: &Actor,
    of: &volumes::View,
    name: &str,
) -> Result<snapshots::View, Condition> {
    let key = snapshots::Key::Of(of.volume.id, Api::Native, name.to_string());
    snapshots::get(ports, actor, &key).await
}

/// What a clone is made from: a volume or a snapshot, by handle or id.
pub(crate) async fn source(ports: &Ports, actor: &Actor, text: &str) -> Result<volumes::From, Condition> {
    match volumes::get(ports, actor, &volume_key(text)).await {
        Ok(v) => return Ok(volumes::From::Volume(v.volume.id)),
        Err(Condition::NotFound { .. }) => {}
        Err(e) => return Err(e),
    }
    match snapshot(ports, actor, text).await {
        Ok(s) => Ok(volumes::From::Snapshot(s.snapshot.id)),
        Err(Condition::NotFound { .. }) => Err(Condition::not_found(Kind::Volume, text)),
        Err(e) => Err(e),
    }
}

/// How many characters of an id lists print where there is no room for it.
const SHORT_ID: usize = 8;

/// What bears a name, or else an id that begins so; one of several that do is never guessed.
pub(crate) fn named<'a, I: Copy + Display>(
    kind: Kind,
    text: &str,
    all: impl Iterator<Item = (I, &'a str)> + Clone,
) -> Result<I, Condition> {
    if text.is_empty() {
        return Err(Condition::not_found(kind, text));
    }
    let by_name: Vec<I> = all.clone().filter(|(_, name)| *name == text).map(|(id, _)| id).collect();
    let short = |id: &I| text.len() >= SHORT_ID && id.to_string().starts_with(text);
    let found = match by_name.is_empty() {
        true => all.map(|(id, _)| id).filter(short).collect(),
        false => by_name,
    };
    match found[..] {
        [] => Err(Condition::not_found(kind, text)),
        [one] => Ok(one),
        _ => Err(Condition::Conflict(format!("{} of them are called {text:?}: say the id", found.len()))),
    }
}

/// A pool's driver.
pub(crate) fn driver(word: &str) -> Result<Driver, Condition> {
    [Driver::Local, Driver::Memory]
        .into_iter()
        .find(|d| d.word() == word)
        .ok_or_else(|| Condition::invalid("driver", "it is `local` or `memory`"))
}

/// A yes-or-no option of the query.
pub(crate) fn flag(request: &HttpRequest, name: &str, default: bool) -> Result<bool, Condition> {
    match request.query_value(name).as_deref() {
        None => Ok(default),
        Some("true" | "1" | "") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(_) => Err(Condition::invalid(name, "it is true or false")),
    }
}

/// Sides by their words; none named: all.
pub(crate) fn sides(words: &[String]) -> Result<Vec<Api>, Condition> {
    let one = |word: &String| {
        let known = Api::ALL.into_iter().find(|a| a.word() == word);
        known.ok_or_else(|| Condition::not_found(Kind::Credential, word))
    };
    match words {
        [] => Ok(Api::ALL.to_vec()),
        some => some.iter().map(one).collect(),
    }
}

/// A size of nothing is a slip of the pen.
pub(crate) fn positive(size: Option<u64>) -> Result<(), Condition> {
    match size {
        Some(0) => Err(Condition::invalid("size", "it is at least 1 byte (and rounded up to 512)")),
        _ => Ok(()),
    }
}

/// Ceilings that are to be different.
pub(crate) fn limits(wish: &LimitsWish) -> Result<WantedLimits, Condition> {
    let one = |field, asked: &Option<CeilingDoc>| match asked {
        None => Ok(None),
        Some(CeilingDoc::At(n)) => Ok(Some(IoCeiling::At(*n))),
        Some(CeilingDoc::Word(w)) if w == "unlimited" => Ok(Some(IoCeiling::Unlimited)),
        Some(CeilingDoc::Word(_)) => Err(Condition::invalid(field, "it is a number or `unlimited`")),
    };
    Ok(WantedLimits {
        bytes_per_second: one("bytes_per_second", &wish.bytes_per_second)?,
        requests_per_second: one("requests_per_second", &wish.requests_per_second)?,
    })
}

/// What may be asked of a disk.
pub(crate) enum DiskAct {
    /// Of the disk itself.
    Verb(DiskVerb),
    /// Of what is counted: without it, or with it.
    Ignore(bool),
}

/// What may be asked of a disk, by its word.
pub(crate) fn disk_act(word: &str) -> Result<DiskAct, Condition> {
    let verb = match word {
        "ignore" => return Ok(DiskAct::Ignore(true)),
        "undo-ignore" => return Ok(DiskAct::Ignore(false)),
        "soft-eject" => DiskVerb::SoftEject,
        "pause-eject" => DiskVerb::PauseEject,
        "cancel-eject" => DiskVerb::CancelEject,
        "eject" => DiskVerb::Eject,
        "forget" => DiskVerb::Forget,
        "abandon" => DiskVerb::Abandon,
        "return" => DiskVerb::Return,
        "scrub" => DiskVerb::Scrub(ScrubVerb::Start),
        "pause-scrub" => DiskVerb::Scrub(ScrubVerb::Pause),
        "continue-scrub" => DiskVerb::Scrub(ScrubVerb::Continue),
        "stop-scrub" => DiskVerb::Scrub(ScrubVerb::Stop),
        _ => {
            return Err(Condition::invalid(
                "verb",
                "a disk knows soft-eject, pause-eject, cancel-eject, eject, forget, abandon, return, ignore, \
                 undo-ignore, scrub, pause-scrub, continue-scrub and stop-scrub",
            ));
        }
    };
    Ok(DiskAct::Verb(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_short_ids_are_found_when_one_alone_bears_them() {
        let all = [("0123456789", "one"), ("0123456777", "two"), ("abcdefghij", "twice"), ("zz", "twice")];
        let find = |text: &str| named(Kind::Image, text, all.into_iter());
        assert_eq!(find("one"), Ok("0123456789"));
        assert_eq!(find("abcdefgh"), Ok("abcdefghij"));
        for several in ["twice", "01234567"] {
            assert!(matches!(find(several), Err(Condition::Conflict(_))), "{several}");
        }
        for nothing in ["", "three", "abcdefg"] {
            assert!(matches!(find(nothing), Err(Condition::NotFound { .. })), "{nothing}");
        }
    }
}
