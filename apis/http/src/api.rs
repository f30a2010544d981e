//! What an API is, and how one that is served looks from the listener.

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use parpen_model::Condition;

use crate::{Boxed, HttpRequest, Reply};

/// One API: its operations, its credentials, its errors. It parses, calls one use case, prints.
pub trait Api: Send + Sync + 'static {
    /// All operations of the foreign API, those that are refused too.
    type Endpoint: Copy + Debug + Send + Sync + 'static;
    /// Who calls, as this API needs to know it: often an `Actor`, an `Option` of it where some operations need none.
    type Caller: Send + 'static;
    /// Every variant, for the coverage table.
    const ENDPOINTS: &'static [Self::Endpoint];

    /// Its name in logs and metrics.
    fn name(&self) -> &'static str;

    /// Whether this raw path is this API's, by its first segments.
    fn claims(&self, path: &str) -> bool;

    /// Which operation is asked for; a reply where none is.
    fn route(&self, request: &HttpRequest) -> Result<Self::Endpoint, Box<Reply>>;

    /// Checks this API's kind of credential.
    fn actor<'a>(
        &'a self,
        endpoint: Self::Endpoint,
        request: &'a HttpRequest,
    ) -> Boxed<'a, Result<Self::Caller, Condition>>;

    /// Does it.
    fn call(
        &self,
        endpoint: Self::Endpoint,
        caller: Self::Caller,
        request: HttpRequest,
    ) -> Boxed<'_, Result<Reply, Condition>>;

    /// This API's error document: a total match without a default arm. The endpoint is missing where no operation
    /// was told from the request.
    fn coat(&self, endpoint: Option<Self::Endpoint>, condition: &Condition) -> Reply;

    /// The error document under a status that HTTP itself asks for (413, 414, 431 ...).
    fn coat_as(&self, status: StatusCode, endpoint: Option<Self::Endpoint>, condition: &Condition) -> Reply {
        Reply { status, ..self.coat(endpoint, condition) }
    }

    /// The last touch on every answer, errors too: headers that the API puts everywhere.
    fn finish(&self, _request_id: &str, reply: Reply) -> Reply {
        reply
    }
}

/// An answer and what the log and the metrics want to know of it.
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// The endpoint's name; none if the router knew none.
    pub endpoint: Option<String>,
}

/// An API as a listener holds it, whatever its types are. Made with [`serve`].
pub trait Service: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Whether the path is its own.
    fn claims(&self, path: &str) -> bool;
    /// Answers. Never panics; an operation once begun is finished even if the client goes away.
    fn answer(&self, request: HttpRequest) -> Boxed<'static, Answer>;
    /// The error document for a message that no API could read.
    fn refuse(&self, status: StatusCode, condition: &Condition, request_id: &str) -> Reply;
}

/// The API as a [`Service`].
pub fn serve<A: Api>(api: A) -> Arc<dyn Service> {
    Arc::new(Served(Arc::new(api)))
}

struct Served<A>(Arc<A>);

impl<A: Api> Service for Served<A> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn claims(&self, path: &str) -> bool {
        self.0.claims(path)
    }

    fn answer(&self, request: HttpRequest) -> Boxed<'static, Answer> {
        let api = self.0.clone();
        Box::pin(async move {
            let id = request.id.clone();
            let endpoint = match catch_unwind(AssertUnwindSafe(|| api.route(&request))) {
                Ok(Ok(endpoint)) => endpoint,
                Ok(Err(reply)) => return Answer { reply: finish(&*api, &id, *reply), endpoint: None },
                Err(panic) => {
                    let condition = panicked(panic);
                    return Answer { reply: coat(&*api, None, None, &condition, &id), endpoint: None };
                }
            };
            let too_large = request.too_large();
            let work = run(api.clone(), endpoint, request);
            // A task of its own: it is not dropped half-way when the client hangs up, and a panic ends here.
            let reply = match tokio::spawn(work).await {
                Ok(Ok(reply)) => finish(&*api, &id, reply),
                Ok(Err(condition)) => {
                    let large = too_large.load(Ordering::Relaxed);
                    let status = large.then_some(StatusCode::PAYLOAD_TOO_LARGE);
                    coat(&*api, status, Some(endpoint), &condition, &id)
                }
                Err(join) => {
                    let condition = match join.try_into_panic() {
                        Ok(panic) => panicked(panic),
                        Err(_) => Condition::Unavailable("the server is shutting down".into()),
                    };
                    coat(&*api, None, Some(endpoint), &condition, &id)
                }
            };
            Answer { reply, endpoint: Some(format!("{endpoint:?}")) }
        })
    }

    fn refuse(&self, status: StatusCode, condition: &Condition, request_id: &str) -> Reply {
        coat(&*self.0, Some(status), None, condition, request_id)
    }
}

async fn run<A: Api>(api: Arc<A>, endpoint: A::Endpoint, request: HttpRequest) -> Result<Reply, Condition> {
    let caller = api.actor(endpoint, &request).await?;
    api.call(endpoint, caller, request).await
}

fn finish<A: Api>(api: &A, id: &str, reply: Reply) -> Reply {
    catch_unwind(AssertUnwindSafe(|| api.finish(id, reply))).unwrap_or_else(|panic| last_resort(panic, id))
}

/// Logs what is ours to know and gives the client the API's own document.
fn coat<A: Api>(
    api: &A,
    status: Option<StatusCode>,
    endpoint: Option<A::Endpoint>,
    condition: &Condition,
    id: &str,
) -> Reply {
    if let Condition::Internal(detail) = condition {
        tracing::error!(request = id, api = api.name(), endpoint = ?endpoint, detail, "internal error");
    }
    let made = catch_unwind(AssertUnwindSafe(|| match status {
        Some(status) => api.coat_as(status, endpoint, condition),
        None => api.coat(endpoint, condition),
    }));
    match made {
        Ok(reply) => finish(api, id, reply),
        Err(panic) => last_resort(panic, id),
    }
}

/// Even the error document could not be made.
fn last_resort(panic: Box<dyn Any + Send>, id: &str) -> Reply {
    let condition = panicked(panic);
    if let Condition::Internal(detail) = &condition {
        tracing::error!(request = id, detail, "an error document could not be made");
    }
    Reply::json(StatusCode::INTERNAL_SERVER_ERROR, &serde_json::json!({ "error": condition.to_string() }))
}

fn panicked(panic: Box<dyn Any + Send>) -> Condition {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Condition::internal(format!("a handler panicked: {}", text.unwrap_or_else(|| "no text".into())))
}
