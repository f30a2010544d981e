//! Logging in, looking at tokens, and a Keystone that does not do well.

use std::sync::atomic::{AtomicUsize, Ordering};

use parpen_base::SystemClock;
use parpen_identity::{VouchedFor, Voucher};

use super::fake::{Asked, Fake, Said, json};
use crate::*;
use parpen_model::Condition;
use std::sync::Arc;

const FOREVER: &str = "2999-01-01T00:00:00.000000Z";

pub(super) fn account(url: &str) -> Arc<Account> {
    let wire = Wire::open("Keystone", root(url, "v3").unwrap(), None).unwrap();
    Arc::new(Account::new(wire, proof(), Arc::new(SystemClock::new())))
}

pub(super) fn proof() -> Proof {
    Proof::Password {
        username: "parpen".into(),
        user_domain: "Default".into(),
        password: "hush".into(),
        project: "service".into(),
        project_domain: "Default".into(),
    }
}

/// A login that is answered with a token of that text.
pub(super) fn logged_in(text: &str) -> Said {
    json(
        201,
        &format!("X-Subject-Token: {text}\r\n"),
        &format!(r#"{{"token":{{"expires_at":"{FOREVER}"}}}}"#),
    )
}

fn is_login(a: &Asked) -> bool {
    a.line.starts_with("POST /v3/auth/tokens")
}

fn token(what: &str) -> Said {
    let body = format!(
        r#"{{"token":{{"user":{{"id":"u1","name":"ada","domain":{{"id":"default","name":"Default"}}}},
        "roles":[{{"id":"r","name":"member"}}],"methods":["password"],"issued_at":"2026-01-01T00:00:00.000000Z",
        "expires_at":"{FOREVER}",{what}}}}}"#
    );
    json(200, "", &body)
}

async fn look(fake: &Fake) -> Result<Option<parpen_identity::Vouched>, Condition> {
    Keystone::new(account(&format!("{}/v3/", fake.url))).vouch("theirs").await
}

/// What is said when all but logins is answered with this.
async fn refused(answer: impl Fn() -> Said + Send + 'static) -> String {
    let fake = Fake::start(move |a| if is_login(a) { logged_in("ours") } else { answer() }).await;
    match look(&fake).await {
        Err(Condition::Unavailable(why)) => {
            assert!(!why.contains("ours") && !why.contains("theirs") && !why.contains("hush"), "{why}");
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_is_read_in_all_its_scopes() {
    let project = r#""project":{"id":"p1","name":"lab","domain":{"id":"d","name":"Lab"}}"#;
    let lab = VouchedFor::Project { id: "p1".into(), name: "lab".into(), domain: "Lab".into() };
    let table = [
        (project.to_string(), lab.clone(), true),
        (format!(r#"{project},"is_admin_project":false"#), lab, false),
        (r#""domain":{"id":"d","name":"Lab"}"#.into(), VouchedFor::Domain, true),
        (r#""system":{"all":true}"#.into(), VouchedFor::System, true),
        (r#""audit_ids":["x"]"#.into(), VouchedFor::Oneself, true),
    ];
    for (text, what, operators) in table {
        let fake = Fake::start(move |a| if is_login(a) { logged_in("ours") } else { token(&text) }).await;
        let said = look(&fake).await.unwrap().unwrap();
        assert_eq!((said.what, said.operators), (what, operators));
        assert_eq!((said.user.as_str(), said.roles), ("u1", vec!["member".to_string()]));
        let asked = fake.asked();
        assert_eq!(asked[1].header("x-auth-token").as_deref(), Some("ours"));
        assert_eq!(asked[1].header("x-subject-token").as_deref(), Some("theirs"));
        assert!(String::from_utf8_lossy(&asked[0].body).contains("hush"));
    }
}

#[tokio::test]
async fn a_token_that_it_does_not_know_is_none() {
    for status in [400, 404, 431] {
        let script = move |a: &Asked| if is_login(a) { logged_in("ours") } else { json(status, "", "{}") };
        assert_eq!(look(&Fake::start(script).await).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_token_of_ours_that_has_ended_is_renewed_once_for_a_crowd() {
    let logins = AtomicUsize::new(0);
    let fake = Fake::start(move |a| match is_login(a) {
        true => logged_in(&format!("ours-{}", logins.fetch_add(1, Ordering::SeqCst))),
        false if a.header("x-auth-token").as_deref() == Some("ours-0") => json(401, "", "{}"),
        false => token(r#""system":{"all":true}"#),
    })
    .await;
    let keystone = Arc::new(Keystone::new(account(&fake.url)));
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let keystone = keystone.clone();
            tokio::spawn(async move { keystone.vouch("theirs").await })
        })
        .collect();
    for one in crowd {
        assert!(one.await.unwrap().unwrap().is_some());
    }
    assert_eq!(fake.count("POST"), 2);
    assert!(keystone.vouch("theirs").await.unwrap().is_some());
    assert_eq!(fake.count("POST"), 2);
}

#[tokio::test]
async fn what_it_cannot_do_is_said_and_is_no_refusal_of_the_user() {
    assert!(refused(|| json(500, "", "{}")).await.contains("answers 500"));
    assert!(refused(|| json(503, "", "{}")).await.contains("answers 503"));
    assert!(refused(|| json(403, "", "{}")).await.contains("give it the role service"));
    assert!(refused(|| json(401, "", "{}")).await.contains("same Keystone"));
    assert!(refused(|| json(302, "location: http://127.0.0.1:1/\r\n", "")).await.contains("another address"));
    assert!(refused(|| json(200, "", "<html>")).await.contains("not known here"));
    assert!(refused(|| json(200, "", &"x".repeat(2 << 20))).await.contains("more than 1 MiB"));
    assert!(refused(|| super::fake::bytes(200, "", b"{\"token\"", 500)).await.contains("broke off"));
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_followed_by_another() {
    let looks = AtomicUsize::new(0);
    let fake = Fake::start(move |a| match is_login(a) {
        true => logged_in("ours"),
        false if looks.fetch_add(1, Ordering::SeqCst) == 0 => Some(Vec::new()),
        false => token(r#""system":{"all":true}"#),
    })
    .await;
    assert!(look(&fake).await.unwrap().is_some());
    assert_eq!((fake.count("POST"), fake.count("GET")), (1, 2));
    assert!(refused(|| Some(Vec::new())).await.contains("broke off"));
}

#[tokio::test]
async fn an_account_that_is_refused_is_the_operators_matter() {
    let fake = Fake::start(|_| json(401, "", "{}")).await;
    let said = look(&fake).await.unwrap_err();
    assert!(matches!(&said, Condition::Unavailable(why) if why.contains("own account")), "{said:?}");
    assert_eq!(fake.count("POST"), 1);
}

#[tokio::test]
async fn one_who_is_not_there_is_out_of_reach() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let said = Keystone::new(account(&url)).vouch("t").await.unwrap_err();
    assert!(matches!(&said, Condition::Unavailable(why) if why.contains("cannot be reached")), "{said:?}");
}

#[test]
fn addresses_are_taken_with_and_without_their_version() {
    for (given, wanted) in [
        ("http://h:5000", "http://h:5000"),
        ("http://h:5000/", "http://h:5000"),
        ("https://h/identity/v3/", "https://h/identity"),
        ("https://h/v3", "https://h"),
    ] {
        assert_eq!(root(given, "v3").unwrap(), wanted);
    }
    for bad in ["h:5000", "ftp://h", "http://", "", "http://a:b@h/", "http://h/v3?x=1"] {
        assert!(root(bad, "v3").is_err(), "{bad}");
    }
}
