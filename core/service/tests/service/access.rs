//! Who may open what, and how it is taken away.

use parpen_base::MIB;
use parpen_block::{Address, Exports, Peer, Refusal};
use parpen_model::lifecycle::{AttachState, Usage};
use parpen_model::{Attachment, Attributes, Condition, Rights, Volume};
use parpen_service::attachments::{self, Change, Connect, Detach, Reserve};
use parpen_service::volumes::{self, DeleteTerms};
use parpen_service::{hosts, locks};

use super::house::{Disk, House};

async fn reserved(house: &House, v: &Volume) -> Attachment {
    let want = Reserve {
        volume: v.id,
        rights: Rights::ReadWrite,
        instance: Some("vm".into()),
        attributes: Attributes::default(),
    };
    attachments::reserve(&house.ports, &house.actor, want).await.unwrap().0
}

async fn connect(house: &House, a: &Attachment, host: &str) -> Result<Attachment, Condition> {
    let by = Connect { host: host.into(), mountpoint: None, attributes: Attributes::default() };
    let started = attachments::connect(&house.ports, &house.actor, a.id, by).await?;
    house.ports.jobs.wait(started.job).await?;
    Ok(started.now)
}

fn moves(v: &Volume, detach: &[&str], rw: &[&str], force: bool) -> Vec<Change> {
    let texts = |t: &[&str]| t.iter().map(|s| s.to_string()).collect();
    let detach = if detach.is_empty() { Detach::Nobody } else { Detach::Hosts(texts(detach)) };
    vec![Change { subject: v.id.into(), detach, read_write: texts(rw), read_only: Vec::new(), force }]
}

async fn reassign(house: &House, changes: Vec<Change>) -> Result<(), Condition> {
    let started = attachments::reassign(&house.ports, &house.actor, changes).await?;
    house.ports.jobs.wait(started.job).await.map(|_| ())
}

#[tokio::test]
async fn an_exclusive_attachment_closes_the_plain_export_and_opens_its_own() {
    let house = Disk::new().start().await;
    let v = house.volume("books", MIB).await;
    assert!(house.connect("books", "127.0.0.1").await.is_ok());
    let a = reserved(&house, &v).await;
    assert_eq!(house.row(&v).await.usage, Usage::Reserved);
    assert!(matches!(house.connect(&a.export, "127.0.0.1").await, Err(Refusal::Forbidden(_))));
    let a = connect(&house, &a, "node-1").await.unwrap();
    assert!(matches!(house.connect("books", "127.0.0.1").await, Err(Refusal::Forbidden(_))));
    let session = house.connect(&a.export, "10.0.0.7").await.unwrap();
    attachments::complete(&house.ports, &house.actor, a.id).await.unwrap();
    assert_eq!(house.row(&v).await.usage, Usage::Attached);
    let job = attachments::detach(&house.ports, &house.actor, a.id, Default::default()).await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
    assert!(session.is_cut(), "its holder was fenced");
    assert_eq!(house.row(&v).await.usage, Usage::Free);
    assert!(matches!(house.connect(&a.export, "10.0.0.7").await, Err(Refusal::Unknown)));
    assert!(house.connect("books", "127.0.0.1").await.is_ok());
}

#[tokio::test]
async fn an_open_plain_session_is_a_refusal_that_names_the_peer() {
    let house = Disk::new().start().await;
    let v = house.volume("books", MIB).await;
    let session = house.connect("books", "127.0.0.9").await.unwrap();
    let a = reserved(&house, &v).await;
    let refused = connect(&house, &a, "node-1").await;
    assert!(
        matches!(&refused, Err(Condition::InUse { by, .. }) if by[0].contains("127.0.0.9")),
        "{refused:?}"
    );
    let job = attachments::detach(&house.ports, &house.actor, a.id, Default::default()).await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
    let refused = volumes::delete(&house.ports, &house.actor, v.id, DeleteTerms::default()).await;
    assert!(matches!(refused, Err(Condition::InUse { .. })));
    let terms = DeleteTerms { force: true, ..Default::default() };
    let job = volumes::delete(&house.ports, &house.actor, v.id, terms).await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
    assert!(session.is_cut());
    drop(session);
    assert!(house.gate.all_sessions().is_empty());
}

#[tokio::test]
async fn a_lock_lets_its_own_host_in_on_every_side() {
    let house = Disk::new().start().await;
    let v = house.volume("books", MIB).await;
    let other = house.connect("books", "127.0.0.2").await.unwrap();
    let job = locks::lock(&house.ports, &house.actor, v.id, "node-1").await.unwrap().job;
    house.ports.jobs.wait(job).await.unwrap();
    assert!(other.is_cut(), "others are cut at once");
    assert!(matches!(house.connect("books", "127.0.0.1").await, Err(Refusal::Forbidden(_))));
    hosts::join(&house.ports, &house.actor, "node-1", "127.0.0.1").await.unwrap();
    assert!(house.connect("books", "127.0.0.1").await.is_ok(), "now this address is that host");
    let a = reserved(&house, &v).await;
    assert!(matches!(connect(&house, &a, "node-2").await, Err(Condition::InUse { .. })));
    assert!(matches!(
        reassign(&house, moves(&v, &[], &["client-2"], false)).await,
        Err(Condition::InUse { .. })
    ));
    assert!(
        connect(&house, &a, "node-1").await.is_err(),
        "its own open plain session stands in the way of nobody else"
    );
}

#[tokio::test]
async fn a_second_lock_is_refused_and_the_own_one_repeated() {
    let house = Disk::new().start().await;
    let v = house.volume("books", MIB).await;
    for _ in 0..2 {
        let job = locks::lock(&house.ports, &house.actor, v.id, "a").await.unwrap().job;
        house.ports.jobs.wait(job).await.unwrap();
    }
    let refused = locks::lock(&house.ports, &house.actor, v.id, "b").await;
    assert!(matches!(refused, Err(Condition::InUse { .. })), "{refused:?}");
    assert!(!locks::unlock(&house.ports, &house.actor, v.id, "b").await.unwrap());
    assert!(locks::unlock(&house.ports, &house.actor, v.id, "a").await.unwrap());
    assert!(locks::get(&house.ports, &house.actor, v.id).await.unwrap().is_none());
}

#[tokio::test]
async fn reassigning_is_all_or_nothing_and_needs_force_for_open_volumes() {
    let house = Disk::new().start().await;
    let (v, w) = (house.volume("books", MIB).await, house.volume("maps", MIB).await);
    reassign(&house, moves(&v, &[], &["client-1"], false)).await.unwrap();
    let all = attachments::list(&house.ports, &house.actor).await.unwrap();
    let held = &all[0].attachment;
    assert_eq!((held.state, held.slot, held.exclusive), (AttachState::Attached, Some(0), false));
    let session = house.connect(&held.export, "10.0.0.1").await.unwrap();
    let mut both = moves(&w, &[], &["client-2"], false);
    both.extend(moves(&v, &["client-1"], &["client-2"], false));
    let refused = reassign(&house, both.clone()).await;
    assert!(matches!(&refused, Err(Condition::InUse { by, .. }) if by == &["client-1"]), "{refused:?}");
    assert_eq!(attachments::list(&house.ports, &house.actor).await.unwrap().len(), 1, "nothing was changed");
    both.iter_mut().for_each(|c| c.force = true);
    reassign(&house, both).await.unwrap();
    assert!(session.is_cut());
    let hosts: Vec<_> = attachments::list(&house.ports, &house.actor).await.unwrap();
    assert!(hosts.iter().all(|a| a.host.as_ref().unwrap().name == "client-2") && hosts.len() == 2);
}

#[tokio::test]
async fn shared_and_exclusive_do_not_mix() {
    let house = Disk::new().start().await;
    let v = house.volume("books", MIB).await;
    reassign(&house, moves(&v, &[], &["client-1"], false)).await.unwrap();
    let want = Reserve {
        volume: v.id,
        rights: Rights::ReadWrite,
        instance: None,
        attributes: Attributes::default(),
    };
    let refused = attachments::reserve(&house.ports, &house.actor, want).await;
    assert!(matches!(refused, Err(Condition::InUse { .. })));
    reassign(&house, moves(&v, &["client-1"], &[], false)).await.unwrap();
    reserved(&house, &v).await;
    assert!(matches!(
        reassign(&house, moves(&v, &[], &["client-1"], false)).await,
        Err(Condition::InUse { .. })
    ));
}

/// What a client without any credential is shown.
async fn listed(house: &House) -> Vec<String> {
    let (answer, got) = tokio::sync::oneshot::channel();
    let peer = Peer { transport: "nbd", address: Address::Ip("127.0.0.1".parse().unwrap()), tls_name: None };
    house.exports.visible(peer, Box::new(move |all| drop(answer.send(all))));
    got.await.unwrap()
}

#[tokio::test]
async fn what_is_attached_is_neither_shown_nor_opened_by_any_name_but_its_own() {
    let house = Disk::new().start().await;
    let v = house.volume("books", MIB).await;
    house.volume("free", MIB).await;
    let a = connect(&house, &reserved(&house, &v).await, "node-1").await.unwrap();
    assert_eq!(listed(&house).await, ["free"]);
    let id = v.id.to_string();
    for known in ["books".to_string(), id.clone(), id.to_uppercase(), id.replace('-', "")] {
        let refused = house.connect(&known, "127.0.0.1").await;
        assert!(matches!(refused, Err(Refusal::Forbidden(_))), "{known}");
    }
    let (secret, short) = (a.export.clone(), &a.export[..a.export.len() - 1]);
    let guesses = [
        a.id.to_string(),
        short.to_string(),
        format!("{secret}0"),
        format!(" {secret}"),
        secret.to_uppercase(),
        format!("books@{secret}"),
        "books@".into(),
        "%".into(),
        String::new(),
    ];
    for guess in guesses.iter().filter(|g| **g != secret) {
        let refused = house.connect(guess, "127.0.0.1").await;
        assert!(matches!(refused, Err(Refusal::Unknown)), "{guess:?} is told apart from nothing");
    }
    assert!(house.connect(&secret, "10.0.0.7").await.is_ok());
}
