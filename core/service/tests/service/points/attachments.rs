//! Deaths of the job that lets holders in and cuts them: between hosts, in the flow of attachments, and in the flow
//! that knows volumes only.

use parpen_model::lifecycle::{AttachState, Usage, When};
use parpen_model::{Attachment, Attributes, Rights, Volume};
use parpen_service::attachments::{self, Attach, Change, Connect, Detach, DetachTerms, Hold, Reserve};

use super::{deaths, dies, get, rows, written};
use crate::house::House;

deaths! {
    handed_over of "reassign@1";
    taken_from_one_for_another of "reassign@1";
    reserved_connected_and_completed of "reassign@1";
    connected_at_once of "reassign@1";
    detached of "reassign@1";
    announced_and_held_by_volume of "reassign@1";
    given_back_and_let_go_by_volume of "reassign@1";
    withdrawn of "reassign@1";
}

fn to(v: &Volume, host: &str) -> Change {
    Change {
        subject: v.id.into(),
        detach: Detach::Everyone,
        read_write: vec![host.into()],
        read_only: Vec::new(),
        force: true,
    }
}

fn by(host: &str) -> Connect {
    Connect { host: host.into(), mountpoint: None, attributes: Attributes::default() }
}

fn announced(v: &Volume) -> Reserve {
    Reserve {
        volume: v.id,
        rights: Rights::ReadWrite,
        instance: Some("i".into()),
        attributes: Attributes::default(),
    }
}

/// A volume is used as its attachments say, whoever holds it gets in, and nobody else does.
async fn agrees(house: &House, v: &Volume) -> Vec<Attachment> {
    let all: Vec<Attachment> = rows(house).await;
    let now = house.row(v).await.usage;
    let said = match all.first().map(|a| a.state) {
        None => Usage::Free,
        Some(AttachState::Reserved) => Usage::Reserved,
        Some(AttachState::Attaching) => Usage::Attaching,
        Some(AttachState::Attached) => Usage::Attached,
        Some(AttachState::Detaching) => Usage::Detaching,
    };
    assert_eq!(now, said, "{all:?}");
    for a in &all {
        let admitted = house.connect(&a.export, "10.0.0.9").await.is_ok();
        let waits = a.state == AttachState::Reserved || a.host.is_none();
        assert_eq!(admitted, !waits && !a.returned, "{a:?}");
    }
    if all.is_empty() {
        assert_eq!(get(house, v.id).await, b"before", "whom nobody holds is open again");
    }
    all
}

/// Lets whoever is left go: a death leaves nothing that cannot be ended.
async fn can_be_ended(house: &House, v: &Volume) {
    for a in agrees(house, v).await {
        let job = attachments::detach(&house.ports, &house.actor, a.id, DetachTerms::default());
        house.ports.jobs.wait(job.await.unwrap().job).await.unwrap();
    }
    assert_eq!(house.row(v).await.usage, Usage::Free);
    assert_eq!(get(house, v.id).await, b"before");
}

async fn handed_over(kind: &str) {
    dies(
        kind,
        async |house| written(house, "books").await,
        async |house, v| {
            attachments::reassign(&house.ports, &house.actor, vec![to(v, "client-1")]).await.unwrap();
        },
        async |house, v| can_be_ended(house, v).await,
    )
    .await;
}

async fn taken_from_one_for_another(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            let done = attachments::reassign(&house.ports, &house.actor, vec![to(&v, "client-1")]);
            house.ports.jobs.wait(done.await.unwrap().job).await.unwrap();
            v
        },
        async |house, v| {
            attachments::reassign(&house.ports, &house.actor, vec![to(v, "client-2")]).await.unwrap();
        },
        async |house, v| {
            assert_eq!(agrees(house, v).await.len(), 1, "one holder, the old or the new");
            can_be_ended(house, v).await;
        },
    )
    .await;
}

async fn reserved_connected_and_completed(kind: &str) {
    dies(
        kind,
        async |house| written(house, "books").await,
        async |house, v| {
            let (ports, actor) = (&house.ports, &house.actor);
            let a = attachments::reserve(ports, actor, announced(v)).await.unwrap().0;
            let job = attachments::connect(ports, actor, a.id, by("client-1")).await.unwrap().job;
            ports.jobs.wait(job).await.unwrap();
            attachments::complete(ports, actor, a.id).await.unwrap();
        },
        async |house, v| can_be_ended(house, v).await,
    )
    .await;
}

async fn attached(house: &House, v: &Volume) -> Attachment {
    let want = Attach { reserve: announced(v), by: Some(by("client-1")), when: When::default() };
    let (a, job) = attachments::attach(&house.ports, &house.actor, want).await.unwrap();
    house.ports.jobs.wait(job.unwrap()).await.unwrap();
    a
}

async fn connected_at_once(kind: &str) {
    dies(
        kind,
        async |house| written(house, "books").await,
        async |house, v| {
            attached(house, v).await;
        },
        async |house, v| can_be_ended(house, v).await,
    )
    .await;
}

async fn detached(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            let a = attached(house, &v).await;
            attachments::complete(&house.ports, &house.actor, a.id).await.unwrap();
            (v, a)
        },
        async |house, (_, a)| {
            attachments::detach(&house.ports, &house.actor, a.id, DetachTerms::default()).await.unwrap();
        },
        async |house, (v, _)| can_be_ended(house, v).await,
    )
    .await;
}

fn hold() -> Hold {
    Hold {
        instance: Some("i".into()),
        host: Some("client-1".into()),
        mountpoint: Some("/dev/vdb".into()),
        rights: Rights::ReadWrite,
    }
}

async fn held(house: &House, v: &Volume) {
    let (ports, actor) = (&house.ports, &house.actor);
    attachments::announce(ports, actor, v.id).await.unwrap();
    attachments::initialize(ports, actor, v.id, by("client-1"), Rights::ReadWrite).await.unwrap();
    attachments::hold(ports, actor, v.id, hold()).await.unwrap();
}

async fn announced_and_held_by_volume(kind: &str) {
    dies(
        kind,
        async |house| written(house, "books").await,
        async |house, v| held(house, v).await,
        async |house, v| {
            attachments::let_go(&house.ports, &house.actor, v.id, None, DetachTerms::default())
                .await
                .unwrap();
            can_be_ended(house, v).await;
        },
    )
    .await;
}

async fn given_back_and_let_go_by_volume(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            held(house, &v).await;
            v
        },
        async |house, v| {
            let (ports, actor, terms) = (&house.ports, &house.actor, DetachTerms::default());
            attachments::give_back(ports, actor, v.id, Some("client-1".into()), terms).await.unwrap();
            attachments::let_go(ports, actor, v.id, None, terms).await.unwrap();
        },
        async |house, v| can_be_ended(house, v).await,
    )
    .await;
}

async fn withdrawn(kind: &str) {
    dies(
        kind,
        async |house| {
            let v = written(house, "books").await;
            attachments::announce(&house.ports, &house.actor, v.id).await.unwrap();
            v
        },
        async |house, v| attachments::withdraw(&house.ports, &house.actor, v.id).await.unwrap(),
        async |house, v| can_be_ended(house, v).await,
    )
    .await;
}
