//! Services whose certificates a CA of their own has signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};
use parpen_base::SystemClock;
use parpen_identity::Voucher;
use parpen_model::ports::ForeignImages;
use parpen_model::{Condition, ImageId};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::fake::{Fake, json};
use super::keystone::{logged_in, proof};
use crate::*;

/// A CA that was made for this.
struct Ca {
    certificate: X509,
    key: PKey<Private>,
    file: PathBuf,
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// What all certificates have, valid from `from` to `to` days from now.
fn begun(name: &str, key: &PKey<Private>, days: (i64, i64), serial: u32) -> X509Builder {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let now = parpen_base::Clock::now(&SystemClock::new()).as_second();
    let at = |days: i64| Asn1Time::from_unix(now + days * 86_400).unwrap();
    let mut new = X509::builder().unwrap();
    new.set_version(2).unwrap();
    new.set_serial_number(&BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap()).unwrap();
    new.set_subject_name(&subject.build()).unwrap();
    new.set_pubkey(key).unwrap();
    new.set_not_before(&at(days.0)).unwrap();
    new.set_not_after(&at(days.1)).unwrap();
    new
}

impl Ca {
    fn new(dir: &Path, name: &str) -> Ca {
        let key = key();
        let new = begun(name, &key, (-1, 30), 1);
        let own = new.build().subject_name().to_owned().unwrap();
        let mut new = begun(name, &key, (-1, 30), 1);
        new.set_issuer_name(&own).unwrap();
        new.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        new.sign(&key, MessageDigest::sha256()).unwrap();
        let (certificate, file) = (new.build(), dir.join(name));
        std::fs::write(&file, certificate.to_pem().unwrap()).unwrap();
        Ca { certificate, key, file }
    }

    /// A server's side of TLS, for one address.
    fn server(&self, address: &str, days: (i64, i64)) -> TlsAcceptor {
        let key = key();
        let mut new = begun("server", &key, days, 2);
        new.set_issuer_name(self.certificate.subject_name()).unwrap();
        let names = SubjectAlternativeName::new().ip(address).build(&new.x509v3_context(None, None)).unwrap();
        new.append_extension(names).unwrap();
        new.sign(&self.key, MessageDigest::sha256()).unwrap();
        let chain = vec![CertificateDer::from(new.build().to_der().unwrap())];
        let key = PrivateKeyDer::try_from(key.private_key_to_pkcs8().unwrap()).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn account(url: &str, ca_file: &Path) -> Arc<Account> {
    let wire = Wire::open("Keystone", root(url, "v3").unwrap(), Some(ca_file)).unwrap();
    Arc::new(Account::new(wire, proof(), Arc::new(SystemClock::new())))
}

/// A service that gives tokens, knows none, and has no image.
async fn service(tls: TlsAcceptor) -> Fake {
    let answer = |login: bool| if login { logged_in("ours") } else { json(404, "", "{}") };
    Fake::over(Some(tls), move |a| answer(a.line.starts_with("POST /v3/auth/tokens"))).await
}

/// What is said when a Keystone and a Glance are asked by somebody who believes the CA of that file.
async fn said(at: &Fake, ca_file: &Path) -> Result<(), String> {
    let account = account(&at.url, ca_file);
    let of_keystone = Keystone::new(account.clone()).vouch("theirs").await;
    let dir = tempfile::tempdir().unwrap();
    let wire = Wire::open("Glance", root(&at.url, "v2").unwrap(), Some(ca_file)).unwrap();
    let glance = Glance::open(account, wire, "its", dir.path()).unwrap();
    let of_glance = glance.find(ImageId(uuid::Uuid::from_u128(7))).await;
    match (of_keystone, of_glance) {
        (Ok(None), Ok(None)) => Ok(()),
        (Err(Condition::Unavailable(one)), Err(Condition::Unavailable(_))) => Err(one),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_of_a_private_ca_is_believed_by_whoever_has_that_cas_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (Ca::new(dir.path(), "ours"), Ca::new(dir.path(), "other"));
    let fake = service(ours.server("127.0.0.1", (-1, 1))).await;
    assert_eq!(said(&fake, &ours.file).await, Ok(()));
    let asked = fake.asked().len();
    let refused = said(&fake, &other.file).await.unwrap_err();
    let sentence = format!(
        "the Keystone at {} shows a certificate of a CA that is not believed here: name that CA's own in ca_file",
        fake.url
    );
    assert_eq!(refused, sentence);
    assert_eq!(fake.asked().len(), asked, "nothing is told to whoever is not believed");
    // Both in one file is how a CA is changed.
    let both = dir.path().join("both");
    std::fs::write(&both, [std::fs::read(&other.file).unwrap(), std::fs::read(&ours.file).unwrap()].concat())
        .unwrap();
    assert_eq!(said(&fake, &both).await, Ok(()));
}

#[tokio::test]
async fn a_certificate_for_others_or_other_times_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new(dir.path(), "ours");
    let elsewhere = service(ca.server("127.0.0.2", (-1, 1))).await;
    assert!(said(&elsewhere, &ca.file).await.unwrap_err().contains("for another name"));
    for days in [(-3, -1), (1, 3)] {
        let late = service(ca.server("127.0.0.1", days)).await;
        assert!(said(&late, &ca.file).await.unwrap_err().contains("not valid at this time"));
    }
}

#[test]
fn a_file_without_certificates_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca");
    for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA", "no certificate"] {
        std::fs::write(&file, text).unwrap();
        let refused = Wire::open("Keystone", "https://k".into(), Some(&file)).err().unwrap();
        assert!(refused.to_string().contains("holds no certificates as PEM"), "{refused}");
    }
}
