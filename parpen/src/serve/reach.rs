//! Looks once, at the start, whether the services that the settings name answer: a wrong address or password is better
//! heard of now than by the first user. The service starts all the same, for they may be up later.

use std::sync::Arc;
use std::time::Duration;

use parpen_archive::ObjectArchive;
use parpen_base::Boxed;
use parpen_cloud::Account;
use parpen_model::ports::ImageStore;
use parpen_model::{Condition, ImageId};
use uuid::Uuid;

/// How long is waited for each. A store of backups would try again for minutes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A section of the settings, what is amiss until its service answers, and the answer.
type Asked<'a> = (&'static str, String, Boxed<'a, Result<(), Condition>>);

/// What the settings name that is not this service.
pub struct Elsewhere {
    /// Its account at the Keystone that knows the users.
    pub identity: Option<Arc<Account>>,
    /// The store of images, which may be a Glance.
    pub images: Arc<dyn ImageStore>,
    /// The bucket for backups and its address.
    pub bucket: Option<(String, Arc<ObjectArchive>)>,
}

impl Elsewhere {
    /// One sentence for each that does not answer as it should.
    pub async fn complaints(self, patience: Duration) -> Vec<String> {
        let Elsewhere { identity, images, bucket } = self;
        let mut asked: Vec<Asked<'_>> = Vec::new();
        if let Some(account) = &identity {
            let until = "until it does, nobody is let in with its tokens";
            asked.push(("[identity]", until.into(), Box::pin(account.check())));
        }
        if let Some(glance) = images.elsewhere() {
            let until = "until it does, no volume is made of an image and none becomes one";
            // Any question will do: there is no such image.
            let found = async { glance.find(ImageId(Uuid::nil())).await.map(|_| ()) };
            asked.push(("[images]", until.into(), Box::pin(found)));
        }
        if let Some((url, archive)) = &bucket {
            let until = format!("until {url} does, backups are neither made nor restored");
            asked.push(("[backups]", until, Box::pin(archive.reach())));
        }
        let mut all = Vec::new();
        for (setting, until, answer) in asked {
            match tokio::time::timeout(patience, answer).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => all.push(format!("{setting} does not answer as it should: {why}; {until}")),
                Err(_) => all.push(format!("{setting} did not answer in {} s; {until}", patience.as_secs())),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use parpen_archive::S3;
    use parpen_base::{Clock, SystemClock};
    use parpen_cloud::{Glance, Proof, Wire};
    use parpen_image::ImageDir;

    use super::*;

    fn bucket(endpoint: &str, clock: Arc<dyn Clock>) -> Arc<ObjectArchive> {
        let s3 = S3 {
            bucket: "b".into(),
            prefix: String::new(),
            region: "us-east-1".into(),
            endpoint: Some(endpoint.into()),
            virtual_hosted: false,
            access_key_id: "me".into(),
            secret_access_key: "hush".into(),
            session_token: None,
        };
        Arc::new(ObjectArchive::s3(s3, clock, "me".into()).unwrap())
    }

    #[tokio::test]
    async fn what_is_out_of_reach_is_said_once_and_what_is_here_is_not_asked() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", gone.local_addr().unwrap());
        drop(gone);
        let wire = |what| Wire::open(what, url.clone(), None).unwrap();
        let proof = Proof::Application { id: "me".into(), secret: "hush".into() };
        let account = Arc::new(Account::new(wire("Keystone"), proof, clock.clone()));
        let dir = tempfile::tempdir().unwrap();
        let glance = Glance::open(account.clone(), wire("Glance"), "its", dir.path()).unwrap();
        let away = Elsewhere {
            identity: Some(account),
            images: Arc::new(glance),
            bucket: Some(("s3://b".into(), bucket(&url, clock))),
        };
        let said = away.complaints(Duration::from_secs(1)).await;
        assert_eq!(said.len(), 3, "{said:?}");
        for (said, begin) in said.iter().zip(["[identity] ", "[images] ", "[backups] "]) {
            assert!(said.starts_with(begin) && !said.contains("hush"), "{said}");
        }
        assert!(said[0].contains(&format!("the Keystone at {url} cannot be reached")), "{}", said[0]);

        let here = Arc::new(ImageDir::open(dir.path()).unwrap());
        let here = Elsewhere { identity: None, images: here, bucket: None };
        assert!(here.complaints(PATIENCE).await.is_empty());
    }
}
