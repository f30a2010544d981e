//! Whom another service's word makes of somebody here, and how often it is asked.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use parpen_model::read;

use super::*;

const PROJECT: &str = "0123456789abcdef0123456789abcdef";

/// A clock that tests move.
struct Hand(Mutex<Duration>);

impl Hand {
    fn turn(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + *self.0.lock().unwrap()
    }
    fn steady(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

#[derive(Default)]
struct Elsewhere {
    says: Mutex<HashMap<String, Vouched>>,
    down: Mutex<bool>,
    asked: AtomicUsize,
}

impl Voucher for Elsewhere {
    fn address(&self) -> &str {
        "http://ids/v3"
    }
    fn vouch<'a>(&'a self, token: &'a str) -> Boxed<'a, Result<Option<Vouched>, Condition>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            match *self.down.lock().unwrap() {
                true => Err(Condition::Unavailable("ids is out of reach".into())),
                false => Ok(self.says.lock().unwrap().get(token).cloned()),
            }
        })
    }
}

fn vouched(roles: &[&str], what: VouchedFor) -> Vouched {
    Vouched {
        user: "ldap-user-with-no-uuid".into(),
        user_name: "ada".into(),
        roles: roles.iter().map(|r| r.to_string()).collect(),
        operators: true,
        what,
        methods: vec!["password".into()],
        issued: Timestamp::UNIX_EPOCH,
        expires: Timestamp::UNIX_EPOCH + Duration::from_secs(1000),
    }
}

fn project(name: &str) -> VouchedFor {
    VouchedFor::Project { id: PROJECT.into(), name: name.into(), domain: "Lab".into() }
}

struct Rig {
    clock: Arc<Hand>,
    elsewhere: Arc<Elsewhere>,
    meta: Arc<dyn MetaStore>,
    tokens: VouchedTokens,
    _dir: tempfile::TempDir,
}

fn rig(hold: u64) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let meta: Arc<dyn MetaStore> = Arc::new(parpen_meta::Store::open(&dir.path().join("m.sqlite")).unwrap());
    let (clock, elsewhere) = (Arc::new(Hand(Mutex::default())), Arc::new(Elsewhere::default()));
    let tokens = VouchedTokens::new(
        meta.clone(),
        clock.clone(),
        Api::OpenStack,
        elsewhere.clone(),
        Duration::from_secs(hold),
    );
    Rig { clock, elsewhere, meta, tokens, _dir: dir }
}

impl Rig {
    fn says(&self, token: &str, v: Vouched) {
        self.elsewhere.says.lock().unwrap().insert(token.into(), v);
    }
    fn asked(&self) -> usize {
        self.elsewhere.asked.load(Ordering::SeqCst)
    }
    async fn project(&self) -> Project {
        let id = ProjectId(Uuid::parse_str(PROJECT).unwrap());
        read(&*self.meta, move |tx| tx.get(Scope::All, id)).await.unwrap()
    }
}

#[tokio::test]
async fn roles_and_scopes_are_those_of_our_own_tokens() {
    let r = rig(0);
    let mine = Scope::Project(ProjectId(Uuid::parse_str(PROJECT).unwrap()));
    let (reader, member) = (vec![Role::Reader], vec![Role::Reader, Role::Member]);
    let admin = Role::ALL.to_vec();
    let no_operators = Vouched { operators: false, ..vouched(&["admin"], project("p")) };
    let table = [
        (vouched(&["reader"], project("p")), Some((reader.clone(), mine))),
        (vouched(&["Member", "anything"], project("p")), Some((member.clone(), mine))),
        (vouched(&["admin"], project("p")), Some((admin.clone(), Scope::All))),
        (no_operators, Some((member, mine))),
        (vouched(&["guest"], project("p")), None),
        (vouched(&["reader"], VouchedFor::System), Some((reader, Scope::All))),
        (vouched(&["member"], VouchedFor::Domain), None),
        (vouched(&["admin"], VouchedFor::Domain), Some((admin, Scope::All))),
        (vouched(&[], VouchedFor::Oneself), Some((vec![], Scope::Project(ProjectId(Uuid::nil()))))),
    ];
    for (said, wanted) in table {
        r.says("t", said.clone());
        let got = r.tokens.bearer("t").await;
        assert_eq!(got.as_ref().ok().map(|(a, _)| (a.roles.clone(), a.scope)), wanted, "{said:?}");
        match got {
            Ok((actor, token)) => {
                assert_eq!(actor.until, Some(said.expires));
                assert_eq!(
                    (token.project.is_some(), token.wide.is_some()),
                    (
                        matches!(said.what, VouchedFor::Project { .. }),
                        matches!(said.what, VouchedFor::System | VouchedFor::Domain),
                    )
                );
            }
            Err(e) => assert!(matches!(e, Condition::Forbidden(_)), "{e:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_is_believed_for_a_moment_and_never_beyond_the_token() {
    let r = rig(60);
    r.says("t", vouched(&["member"], project("p")));
    for _ in 0..5 {
        r.tokens.bearer("t").await.unwrap();
    }
    assert_eq!(r.asked(), 1);
    // Taken back there: it ends here when the moment is over.
    let kept = r.elsewhere.says.lock().unwrap().remove("t").unwrap();
    r.clock.turn(59);
    r.tokens.bearer("t").await.unwrap();
    r.clock.turn(2);
    assert!(matches!(r.tokens.bearer("t").await, Err(Condition::Unauthenticated(_))));
    let asked = r.asked();
    assert!(r.tokens.bearer("t").await.is_err());
    assert_eq!(r.asked(), asked, "that it is unknown is believed for a moment, too");
    r.clock.turn(6);
    r.says("t", Vouched { expires: r.clock.now() + Duration::from_secs(10), ..kept });
    r.tokens.bearer("t").await.unwrap();
    r.clock.turn(11);
    assert!(matches!(r.tokens.bearer("t").await, Err(Condition::Unauthenticated(_))));
}

#[tokio::test]
async fn out_of_reach_is_no_refusal_and_a_crowd_asks_once() {
    let r = rig(60);
    r.says("t", vouched(&["member"], project("p")));
    *r.elsewhere.down.lock().unwrap() = true;
    for _ in 0..3 {
        assert!(matches!(r.tokens.bearer("t").await, Err(Condition::Unavailable(_))));
        assert!(matches!(r.tokens.is_service("u").await, Err(Condition::Unavailable(_))));
    }
    assert_eq!(r.asked(), 1, "who does not answer is left alone for a second");
    *r.elsewhere.down.lock().unwrap() = false;
    r.clock.turn(2);
    let all = (0..20).map(|_| r.tokens.bearer("t"));
    let (a, b) = {
        let mut all = all;
        let (a, b) = (all.next().unwrap(), all.next().unwrap());
        tokio::join!(a, b)
    };
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(r.asked(), 2);
    // What was said before it went away is still believed.
    *r.elsewhere.down.lock().unwrap() = true;
    r.tokens.bearer("t").await.unwrap();
}

#[tokio::test]
async fn a_project_is_made_known_and_follows_its_name() {
    let r = rig(0);
    let taken = ProjectId(Uuid::from_u128(7));
    write(&*r.meta, move |tx| make_known(tx, taken, &["admin".into()], Timestamp::UNIX_EPOCH)).await.unwrap();
    r.says("t", vouched(&["member"], project("admin")));
    let (actor, _) = r.tokens.bearer("t").await.unwrap();
    assert_eq!(actor.project.0.simple().to_string(), PROJECT);
    assert_eq!(r.project().await.name, "admin (Lab)");
    r.says("t", vouched(&["member"], project("new")));
    r.tokens.bearer("t").await.unwrap();
    assert_eq!(r.project().await.name, "new");
    let mut p = r.project().await;
    p.enabled = false;
    write(&*r.meta, move |tx| tx.update(&mut p.clone())).await.unwrap();
    assert!(matches!(r.tokens.bearer("t").await, Err(Condition::Forbidden(_))));
}

#[tokio::test]
async fn what_is_no_token_is_not_asked_about() {
    let r = rig(60);
    for text in ["", "a b", "a\nb", "ä", &"x".repeat(TOKEN_MAX + 1)] {
        assert!(matches!(r.tokens.bearer(text).await, Err(Condition::Unauthenticated(_))));
    }
    assert_eq!(r.asked(), 0);
}

#[tokio::test]
async fn many_unknown_texts_push_no_known_token_out() {
    let r = rig(60);
    r.says("t", vouched(&["service"], project("p")));
    assert!(r.tokens.is_service("t").await.unwrap());
    for n in 0..2000 {
        assert!(!r.tokens.is_service(&format!("guess-{n}")).await.unwrap());
    }
    let asked = r.asked();
    assert!(r.tokens.is_service("t").await.unwrap());
    assert_eq!(r.asked(), asked);
}
