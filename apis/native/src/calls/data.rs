//! Bytes in and out over HTTP.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use parpen_base::{Buf, MIB};
use parpen_block::Remote;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::Actor;
use parpen_model::{Condition, Subject};
use serde_json::json;

use crate::House;

/// Bytes that are read and written at a time.
const PIECE: usize = MIB as usize;
/// Pieces that wait for a slow client.
const AHEAD: usize = 4;

/// Stores the body from the first byte on; what the volume has beyond it stays. Durable when answered.
pub(super) async fn import(
    house: &House,
    actor: &Actor,
    to: Subject,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    let target = house.exports.open(actor, to, "import", true).await?;
    let size = target.geometry().size;
    let announced = request.header("content-length").and_then(|l| l.parse::<u64>().ok());
    if announced.is_some_and(|n| n > size) {
        return Err(too_long(size));
    }
    let (mut at, mut piece) = (0u64, Vec::with_capacity(PIECE));
    while let Some(chunk) = request.chunk().await? {
        let mut rest: &[u8] = &chunk;
        while !rest.is_empty() {
            let n = rest.len().min(PIECE - piece.len());
            piece.extend_from_slice(&rest[..n]);
            rest = &rest[n..];
            if piece.len() == PIECE {
                at = store(&target, at, &piece, size).await?;
                piece.clear();
            }
        }
    }
    at = store(&target, at, &piece, size).await?;
    target.flush().await?;
    Ok(Reply::json(StatusCode::OK, &json!({ "bytes": at })))
}

fn too_long(size: u64) -> Condition {
    Condition::invalid(
        "body",
        format!("it is longer than the volume, which has {size} bytes; resize it first"),
    )
}

/// Writes one piece, zeros without storing them; answers where the next one goes.
async fn store(target: &Remote, at: u64, piece: &[u8], size: u64) -> Result<u64, Condition> {
    if piece.is_empty() {
        return Ok(at);
    }
    let end = at + piece.len() as u64;
    if end > size {
        return Err(too_long(size));
    }
    match piece.iter().all(|b| *b == 0) {
        true => target.zero(at, piece.len() as u32).await?,
        false => target.write(at, Buf::copy_of(piece), false).await?,
    }
    Ok(end)
}

/// All bytes, as they are read.
pub(super) async fn export(house: &House, actor: &Actor, from: Subject) -> Result<Reply, Condition> {
    let source = house.exports.open(actor, from, "export", false).await?;
    let size = source.geometry().size;
    let (mut reply, pieces) = Reply::stream(StatusCode::OK, AHEAD);
    reply.headers.insert(CONTENT_LENGTH, size.into());
    tokio::spawn(async move {
        let mut at = 0;
        while at < size {
            let len = (size - at).min(PIECE as u64) as u32;
            let piece = source.read(at, len).await;
            let failed = piece.is_err();
            let piece = piece.map(|b| Bytes::copy_from_slice(&b)).map_err(std::io::Error::other);
            // A client that went away needs no more; one that is there sees the break as an incomplete body.
            if pieces.send(piece).await.is_err() || failed {
                return;
            }
            at += u64::from(len);
        }
    });
    Ok(reply)
}
