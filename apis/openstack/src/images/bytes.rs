//! An image's bytes over HTTP.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use parpen_http::Reply;
use parpen_model::Condition;
use parpen_service::images;

use super::id;
use crate::cx::Cx;
use crate::states::bad;

/// Bytes that are read and written at a time.
const PIECE: usize = 1 << 20;
/// Pieces that wait for a slow client.
const AHEAD: usize = 4;

pub(crate) async fn upload(mut cx: Cx) -> Result<Reply, Condition> {
    let id = id(&cx)?;
    if cx.request.header("content-type").is_none_or(|t| !t.starts_with("application/octet-stream")) {
        return Err(bad("the Content-Type of an image's bytes is application/octet-stream"));
    }
    let begun = images::upload(cx.ports(), cx.actor()?, id).await;
    let mut to = begun.map_err(|e| match e {
        Condition::WrongState { actual, .. } => {
            Condition::Conflict(format!("Image status transition from {actual} to saving is not allowed"))
        }
        other => other,
    })?;
    let mut piece: Vec<u8> = Vec::with_capacity(PIECE);
    loop {
        let chunk = match cx.request.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(e) => {
                to.broke().await?;
                return Err(e);
            }
        };
        piece.extend_from_slice(&chunk);
        if piece.len() >= PIECE
            && let Err(e) = to.write(std::mem::replace(&mut piece, Vec::with_capacity(PIECE))).await
        {
            to.broke().await?;
            return Err(e);
        }
    }
    if let Err(e) = to.write(piece).await {
        to.broke().await?;
        return Err(e);
    }
    to.finish().await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn download(cx: Cx) -> Result<Reply, Condition> {
    let (image, reader) = images::download(cx.ports(), cx.actor()?, id(&cx)?).await?;
    let Some(reader) = reader else { return Ok(Reply::empty(StatusCode::NO_CONTENT)) };
    let size = reader.size();
    let (mut reply, pieces) = Reply::stream(StatusCode::OK, AHEAD);
    reply.headers.insert(CONTENT_LENGTH, size.into());
    reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(md5) = &image.md5 {
        reply = reply.with(HeaderName::from_static("content-md5"), md5);
    }
    tokio::spawn(async move {
        let mut at = 0;
        while at < size {
            let len = (size - at).min(PIECE as u64);
            let piece = reader.read(at, len as usize).await;
            let failed = piece.is_err();
            let piece = piece.map(Bytes::from).map_err(std::io::Error::other);
            // A client that went away needs no more; one that is there sees the break as an incomplete body.
            if pieces.send(piece).await.is_err() || failed {
                return;
            }
            at += len;
        }
    });
    Ok(reply)
}
