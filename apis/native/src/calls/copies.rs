//! Backups and images.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use parpen_base::{MIB, round_up};
use parpen_http::path::Params;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::Actor;
use parpen_model::lifecycle::When;
use parpen_model::{Attributes, BackupId, Condition, ImageId, Kind, Visibility};
use parpen_service::backups::{self, CreateTerms, DeleteTerms, Into, NewBackup, Record};
use parpen_service::images::{self, NewImage, Save};
use parpen_service::names::Naming;
use parpen_service::volumes::{self, From, NewVolume};
use parpen_service::{Ports, pools, snapshots};

use super::{BODY, gone, ok};
use crate::doc::{BackupBegun, BackupWish, ImageVolumeWish, ImageWish, RestoreWish, VolumeBegun, VolumeDoc};
use crate::router::Endpoint;
use crate::{House, from_wire, to_wire};

/// Bytes that are read and written at a time.
const PIECE: usize = MIB as usize;
/// Pieces that wait for a slow client.
const AHEAD: usize = 4;

/// A backup by its id, or as people name it.
async fn backup_id(ports: &Ports, actor: &Actor, text: &str) -> Result<BackupId, Condition> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let all = backups::list(ports, actor).await?;
    from_wire::named(Kind::Backup, text, all.iter().map(|b| (b.backup.id, b.backup.name.as_str())))
}

/// An image by its id, or as people name it.
async fn image_id(ports: &Ports, actor: &Actor, text: &str) -> Result<ImageId, Condition> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let all = images::list(ports, actor).await?;
    from_wire::named(Kind::Image, text, all.iter().map(|i| (i.id, i.name.as_deref().unwrap_or_default())))
}

pub(super) async fn backup(
    house: &House,
    e: Endpoint,
    actor: &Actor,
    params: Params,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    let ports = &house.ports;
    match e {
        Endpoint::BackupList => {
            let all = backups::list(ports, actor).await?;
            return ok(&all.iter().map(to_wire::backup).collect::<Vec<_>>());
        }
        Endpoint::BackupCreate => return backup_create(ports, actor, request.json(BODY).await?).await,
        Endpoint::BackupImport => {
            let record: Record = request.json(BODY).await?;
            let begun = backups::import(ports, actor, record).await?;
            ports.jobs.wait(begun.job).await?;
            return ok(&to_wire::backup(&backups::get(ports, actor, begun.now.id).await?));
        }
        _ => {}
    }
    let view = backups::get(ports, actor, backup_id(ports, actor, params.get("backup")).await?).await?;
    let id = view.backup.id;
    match e {
        Endpoint::BackupDelete => {
            let terms = DeleteTerms { dependents: from_wire::flag(&request, "dependents", false)? };
            ports.jobs.wait(backups::delete(ports, actor, id, terms).await?.job).await?;
            gone()
        }
        Endpoint::BackupVerify => {
            let job = backups::verify(ports, actor, id).await?.job;
            ok(&BackupBegun { backup: to_wire::backup(&view), job: job.0 })
        }
        Endpoint::BackupRestore => {
            let into = into(ports, actor, request.json(BODY).await?).await?;
            let begun = backups::restore(ports, actor, id, into, backups::bytes_only).await?;
            ok(&VolumeBegun { volume: volume(house, actor, begun.now.id).await?, job: begun.job.0 })
        }
        Endpoint::BackupRecord => ok(&backups::export(ports, actor, id).await?),
        _ => ok(&to_wire::backup(&view)),
    }
}

async fn volume(house: &House, actor: &Actor, id: parpen_model::VolumeId) -> Result<VolumeDoc, Condition> {
    let view = volumes::get(&house.ports, actor, &volumes::Key::Id(id)).await?;
    Ok(to_wire::volume(&view, &house.nbd))
}

async fn backup_create(ports: &Ports, actor: &Actor, wish: BackupWish) -> Result<Reply, Condition> {
    let (of, snapshot) = match from_wire::source(ports, actor, &wish.of).await? {
        From::Volume(v) => (v, None),
        From::Snapshot(s) => {
            let view = snapshots::get(ports, actor, &snapshots::Key::Id(s)).await?;
            (view.snapshot.origin, Some(s))
        }
        From::Blank => return Err(Condition::internal("a named source is not blank")),
    };
    let new = NewBackup {
        of,
        snapshot,
        name: wish.name,
        container: wish.container,
        incremental: wish.incremental,
        attributes: Attributes::default(),
    };
    let begun =
        backups::create(ports, actor, new, CreateTerms { attached: true, ..CreateTerms::default() }).await?;
    let view = backups::get(ports, actor, begun.now.id).await?;
    ok(&BackupBegun { backup: to_wire::backup(&view), job: begun.job.0 })
}

async fn new_volume(
    ports: &Ports,
    actor: &Actor,
    name: String,
    pool: Option<&str>,
) -> Result<NewVolume, Condition> {
    let mut new = NewVolume { naming: Naming::unique(name, from_wire::space()), ..NewVolume::default() };
    if let Some(name) = pool {
        new.place.pool = Some(pools::get(ports, actor, name).await?.id);
    }
    Ok(new)
}

async fn into(ports: &Ports, actor: &Actor, wish: RestoreWish) -> Result<Into, Condition> {
    match (wish.over, wish.name) {
        (Some(text), None) => {
            let over = volumes::get(ports, actor, &from_wire::volume_key(&text)).await?.volume;
            Ok(Into::Existing(over.id, When::default()))
        }
        (None, Some(name)) => {
            Ok(Into::New(Box::new(new_volume(ports, actor, name, wish.pool.as_deref()).await?)))
        }
        _ => Err(Condition::invalid("over", "say either over which volume, or the name of a new one")),
    }
}

pub(super) async fn image(
    house: &House,
    e: Endpoint,
    actor: &Actor,
    params: Params,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    let ports = &house.ports;
    match e {
        Endpoint::ImageList => {
            let all = images::list(ports, actor).await?;
            return ok(&all.iter().map(to_wire::image).collect::<Vec<_>>());
        }
        Endpoint::ImageCreate => return image_create(ports, actor, request.json(BODY).await?).await,
        _ => {}
    }
    let i = images::source(ports, actor, image_id(ports, actor, params.get("image")).await?).await?;
    match e {
        Endpoint::ImageDelete => {
            images::delete(ports, actor, i.id).await?;
            gone()
        }
        Endpoint::ImageUpload => {
            let mut to = images::upload(ports, actor, i.id).await?;
            loop {
                let outcome = match request.chunk().await {
                    Ok(Some(piece)) => to.write(piece.to_vec()).await,
                    Ok(None) => break,
                    Err(e) => Err(e),
                };
                if let Err(e) = outcome {
                    to.broke().await?;
                    return Err(e);
                }
            }
            to.finish().await?;
            ok(&to_wire::image(&images::get(ports, actor, i.id).await?))
        }
        Endpoint::ImageDownload => download(ports, actor, i.id).await,
        Endpoint::ImageVolume => {
            let wish: ImageVolumeWish = request.json(BODY).await?;
            from_wire::positive(wish.size)?;
            let mut new = new_volume(ports, actor, wish.name, wish.pool.as_deref()).await?;
            new.size = wish.size.or(i.virtual_size.and_then(|n| round_up(n, MIB)));
            let begun = images::create_volume(ports, actor, i.id, new).await?;
            ok(&VolumeBegun { volume: volume(house, actor, begun.now.id).await?, job: begun.job.0 })
        }
        _ => ok(&to_wire::image(&i)),
    }
}

async fn image_create(ports: &Ports, actor: &Actor, wish: ImageWish) -> Result<Reply, Condition> {
    if !["raw", "qcow2"].contains(&wish.format.as_str()) {
        return Err(Condition::invalid("format", "it is raw or qcow2"));
    }
    let new = NewImage {
        id: None,
        name: Some(wish.name),
        visibility: Visibility::Private,
        protected: false,
        hidden: false,
        disk_format: Some(wish.format),
        container_format: Some("bare".into()),
        min_disk: 0,
        min_ram: 0,
        tags: Vec::new(),
        attributes: Attributes::default(),
    };
    let made = match wish.of {
        Some(text) => {
            let of = volumes::get(ports, actor, &from_wire::volume_key(&text)).await?.volume.id;
            images::save(ports, actor, Save { of, attached: true, when: When::default(), image: new })
                .await?
                .1
        }
        None => images::create(ports, actor, new).await?,
    };
    ok(&to_wire::image(&made))
}

async fn download(ports: &Ports, actor: &Actor, id: ImageId) -> Result<Reply, Condition> {
    let (_, reader) = images::download(ports, actor, id).await?;
    let reader = reader.ok_or_else(|| Condition::invalid("image", "it has no bytes yet"))?;
    let size = reader.size();
    let (mut reply, pieces) = Reply::stream(StatusCode::OK, AHEAD);
    reply.headers.insert(CONTENT_LENGTH, size.into());
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
