//! One volume, several names.

use parpen_model::{Alias, Api, Condition};
use parpen_service::names::{Naming, Rename, Space, find};
use parpen_service::snapshots::{self, NewSnapshot};
use parpen_service::volumes::{self, NewVolume};

use super::house::{Disk, House, native};

async fn make(house: &House, naming: Naming) -> Result<parpen_model::Volume, Condition> {
    let new = NewVolume { naming, size: Some(4096), ..Default::default() };
    let started = volumes::create(&house.ports, &house.actor, new).await?;
    house.ports.jobs.wait(started.job).await?;
    Ok(house.row(&started.now).await)
}

async fn finds(house: &House, api: Api, name: &str) -> bool {
    let (space, name) = (Space::global(api), name.to_string());
    let scope = house.actor.scope;
    parpen_model::read(&*house.ports.meta, move |tx| find(tx, scope, &space, &name)).await.unwrap().is_some()
}

#[tokio::test]
async fn free_names_may_repeat_and_get_handles_in_turn() {
    let house = Disk::new().start().await;
    let free = |n: &str| Naming { name: n.into(), ..Default::default() };
    let a = make(&house, free("books")).await.unwrap();
    let b = make(&house, free("books")).await.unwrap();
    let c = make(&house, free("")).await.unwrap();
    assert_eq!((a.handle.as_str(), b.handle.as_str()), ("books", "books-2"));
    assert!(c.handle.as_str().starts_with("vol-"));
}

#[tokio::test]
async fn a_side_that_needs_unique_names_refuses_what_it_shows_already() {
    let house = Disk::new().start().await;
    make(&house, native("books")).await.unwrap();
    let again = make(&house, native("books")).await;
    assert!(matches!(again, Err(Condition::Exists { .. })), "{again:?}");
    let storpool = Naming::unique("books", Space::global(Api::StorPool));
    assert!(matches!(make(&house, storpool).await, Err(Condition::Exists { .. })));
}

#[tokio::test]
async fn an_alias_hides_the_handle_from_its_own_side_only() {
    let house = Disk::new().start().await;
    let alias = Alias { api: Api::StorPool, scope: String::new(), name: "os--volume-1".into() };
    let naming = Naming { name: "books".into(), own: None, aliases: vec![alias] };
    let v = make(&house, naming).await.unwrap();
    assert_eq!(v.shown_in(Api::StorPool), "os--volume-1");
    assert_eq!(v.shown_in(Api::Lxd), "books");
    assert!(finds(&house, Api::StorPool, "os--volume-1").await);
    assert!(!finds(&house, Api::StorPool, "books").await);
    assert!(finds(&house, Api::Native, "books").await);
    // The name is free on the side that does not see it: the newcomer gets it as alias, another as handle.
    let storpool = Naming::unique("books", Space::global(Api::StorPool));
    let other = make(&house, storpool).await.unwrap();
    assert_eq!((other.handle.as_str(), other.shown_in(Api::StorPool).as_str()), ("books-2", "books"));
}

#[tokio::test]
async fn a_rename_moves_one_sides_name() {
    let house = Disk::new().start().await;
    let v = make(&house, native("books")).await.unwrap();
    let (v, _) = volumes::rename(
        &house.ports,
        &house.actor,
        v.id,
        Rename::by_id(Space::global(Api::StorPool), "#shelf"),
    )
    .await
    .unwrap();
    assert_eq!((v.shown_in(Api::StorPool).as_str(), v.shown_in(Api::Lxd).as_str()), ("#shelf", "books"));
    let (v, _) =
        volumes::rename(&house.ports, &house.actor, v.id, Rename::by_id(Space::global(Api::Native), "tomes"))
            .await
            .unwrap();
    assert_eq!((v.handle.as_str(), v.shown_in(Api::StorPool).as_str()), ("tomes", "#shelf"));
    assert!(
        volumes::rename(&house.ports, &house.actor, v.id, Rename::by_id(Space::global(Api::Native), "a b"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn names_that_nobody_can_bear_are_refused() {
    let house = Disk::new().start().await;
    for bad in ["x".repeat(256), "a\nb".to_string()] {
        assert!(matches!(make(&house, native(&bad)).await, Err(Condition::Invalid { .. })));
    }
}

// A volume named like another's UUID once took that volume's place.
#[tokio::test]
async fn nobody_is_named_like_an_id() {
    let house = Disk::new().start().await;
    let v = make(&house, native("books")).await.unwrap();
    let text = v.id.to_string();
    assert!(matches!(make(&house, native(&text)).await, Err(Condition::Invalid { .. })));
    let free = make(&house, Naming { name: text, ..Default::default() }).await.unwrap();
    assert!(free.handle.as_str().starts_with("vol-"));
}

// A handle that was another volume's name on one side once made that side show two of the same name.
#[tokio::test]
async fn a_handle_is_nobodys_alias() {
    let house = Disk::new().start().await;
    let a = make(&house, native("sa")).await.unwrap();
    volumes::rename(&house.ports, &house.actor, a.id, Rename::by_id(Space::global(Api::StorPool), "sb"))
        .await
        .unwrap();
    let b = make(&house, native("sb")).await.unwrap();
    assert_eq!((b.handle.as_str(), b.shown_in(Api::StorPool).as_str()), ("sb-2", "sb-2"));
    assert_eq!(b.shown_in(Api::Native), "sb");
    let c = make(&house, native("sc")).await.unwrap();
    let moved =
        volumes::rename(&house.ports, &house.actor, c.id, Rename::by_id(Space::global(Api::Native), "sb"))
            .await;
    assert!(matches!(moved, Err(Condition::Exists { .. })));
}

// Eight who renamed one volume by its name at once were all told that they had: the name was looked up before the
// transaction, and the last of them won.
#[tokio::test]
async fn a_name_that_has_moved_is_no_name_to_rename_by() {
    let house = Disk::new().start().await;
    let v = make(&house, native("books")).await.unwrap();
    let (ports, actor) = (&house.ports, &house.actor);
    let by = |space: &Space, from: &str, to: &str| Rename {
        space: space.clone(),
        from: Some(from.into()),
        to: to.into(),
    };
    let is_gone = |e: Condition, from: &str| {
        assert!(matches!(&e, Condition::NotFound { name, .. } if name == from), "{e:?}")
    };
    for (space, to) in [
        (Space::global(Api::StorPool), "shelf"),
        (Space::within(Api::Lxd, v.pool), "board"),
        (Space::global(Api::Native), "tomes"),
    ] {
        volumes::rename(ports, actor, v.id, by(&space, "books", to)).await.unwrap();
        let late = volumes::rename(ports, actor, v.id, by(&space, "books", "second")).await;
        is_gone(late.unwrap_err(), "books");
        assert_eq!(house.row(&v).await.shown_in(space.api), to);
    }
    let new =
        NewSnapshot { naming: Naming::unique("s", Space::within(Api::Lxd, v.id)), ..Default::default() };
    let started = snapshots::create(ports, actor, v.id, new).await.unwrap();
    ports.jobs.wait(started.job).await.unwrap();
    let s = started.now;
    for (space, name) in
        [(Space::within(Api::Lxd, v.id), "s"), (Space::global(Api::StorPool), s.handle.as_str())]
    {
        snapshots::rename(ports, actor, s.id, by(&space, name, "first")).await.unwrap();
        let late = snapshots::rename(ports, actor, s.id, by(&space, name, "second")).await;
        is_gone(late.unwrap_err(), name);
    }
}
