//! Microversions 3.0 to 3.71: what a client asks for, and what the answer says.

use http::StatusCode;
use http::header::{HeaderName, HeaderValue, VARY};
use parpen_http::{HttpRequest, Reply};

use crate::errors;

/// The header, both ways.
const HEADER: &str = "openstack-api-version";
/// The word by which this service is meant in it.
const SERVICE: &str = "volume";

/// The minor part of a version 3.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Microversion(pub u16);

impl Microversion {
    pub(crate) const MIN: Microversion = Microversion(0);
    pub(crate) const MAX: Microversion = Microversion(71);

    /// Whether what came with 3.`minor` is there.
    pub(crate) fn has(self, minor: u16) -> bool {
        self.0 >= minor
    }

    /// The answer with the version it was made for.
    pub(crate) fn mark(self, reply: Reply) -> Reply {
        let mut reply = reply.with(HeaderName::from_static(HEADER), format!("{SERVICE} {self}"));
        reply.headers.insert(VARY, HeaderValue::from_static("OpenStack-API-Version"));
        reply
    }
}

impl std::fmt::Display for Microversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "3.{}", self.0)
    }
}

/// The version a request asks for: none is 3.0, `latest` the newest. A malformed one is 400, one out of range 406.
pub(crate) fn negotiate(request: &HttpRequest) -> Result<Microversion, Box<Reply>> {
    let values = request.headers.get_all(HEADER).iter();
    let text: Vec<String> = values.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect();
    parse(&text.join(",")).map_err(|(status, why)| Box::new(errors::fault(status, &why)))
}

fn parse(header: &str) -> Result<Microversion, (StatusCode, String)> {
    for part in header.split(',') {
        let mut words = part.split_whitespace();
        if !words.next().is_some_and(|w| w.eq_ignore_ascii_case(SERVICE)) {
            continue; // it speaks of another service
        }
        let wanted = words.next().unwrap_or_default();
        if words.next().is_none() && wanted.eq_ignore_ascii_case("latest") {
            return Ok(Microversion::MAX);
        }
        let number = |t: &str| Some(t).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?.parse::<u16>().ok();
        let parts = wanted.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        let Some((major, minor)) = parts else {
            let why = format!(
                "API Version String {wanted:?} is of invalid format. It must be of format 'major.minor'."
            );
            return Err((StatusCode::BAD_REQUEST, why));
        };
        if major != 3 || minor > Microversion::MAX.0 {
            let why = format!(
                "Version {wanted} is not supported by the API. Minimum is {} and maximum is {}.",
                Microversion::MIN,
                Microversion::MAX
            );
            return Err((StatusCode::NOT_ACCEPTABLE, why));
        }
        return Ok(Microversion(minor));
    }
    Ok(Microversion::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_negotiated() {
        let table = [
            ("", Ok(0)),
            ("compute 2.1", Ok(0)),
            ("volume 3.59", Ok(59)),
            ("compute 2.1, Volume 3.71", Ok(71)),
            ("volume latest", Ok(71)),
            ("volume 3.72", Err(406)),
            ("volume 2.0", Err(406)),
            ("volume 3", Err(400)),
            ("volume 3.", Err(400)),
            ("volume 3.x", Err(400)),
            ("volume", Err(400)),
            ("volume 3.-1", Err(400)),
            ("volume 99999.1", Err(400)),
        ];
        for (header, want) in table {
            let got = parse(header).map(|v| v.0).map_err(|(status, _)| status.as_u16());
            assert_eq!(got, want, "{header:?}");
        }
    }
}
