//! Paths and queries: split raw, decoded once, matched against a table that reads like the API's own manual.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

/// Decodes one segment or value once; bytes that are no UTF-8 become replacement characters.
pub fn decode(raw: &str) -> Cow<'_, str> {
    percent_decode_str(raw).decode_utf8_lossy()
}

/// The segments of a raw path, each decoded once: an encoded slash stays inside its segment.
pub fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    raw_segments(path).map(decode)
}

/// The segments as they stand in the path. One slash at the end makes no segment.
pub fn raw_segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').filter(move |_| !path.is_empty())
}

/// The pairs of a raw query, decoded once; `+` is a space, a name without `=` has the empty value.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let plain = |raw: &str| decode(&raw.replace('+', " ")).into_owned();
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(name), plain(value))
    })
}

/// One line of a router's table: method, pattern (`/volumes/{id}/action`), endpoint.
pub type Route<E> = (Method, &'static str, E);

/// What the table says about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<E> {
    /// This endpoint, with the segments that stood for `{names}`.
    Endpoint(E, Params),
    /// The path is known, but only with these methods.
    OtherMethod(Vec<Method>),
    /// The path is unknown.
    Nothing,
}

/// The decoded segments that stood for the names of a pattern.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Params(Vec<(&'static str, String)>);

impl Params {
    /// The segment that stood for `{name}`; empty if the pattern has no such name.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str()).unwrap_or_default()
    }
}

/// Looks a request up. Of two patterns that fit, the one whose literal segments come earlier wins; `HEAD` is
/// answered by `GET` where the table has no `HEAD` of its own.
pub fn find<E: Copy>(table: &[Route<E>], method: &Method, path: &str) -> Found<E> {
    let asked: Vec<Cow<'_, str>> = segments(path).collect();
    let mut best: Option<((Vec<bool>, bool), E, Params)> = None;
    let mut others = Vec::new();
    for (verb, pattern, endpoint) in table {
        let Some((literal, params)) = fit(pattern, &asked) else { continue };
        if verb != method && !(method == Method::HEAD && verb == Method::GET) {
            if !others.contains(verb) {
                others.push(verb.clone());
            }
            continue;
        }
        let rank = (literal, verb == method);
        if best.as_ref().is_none_or(|(b, _, _)| rank > *b) {
            best = Some((rank, *endpoint, params));
        }
    }
    match best {
        Some((_, endpoint, params)) => Found::Endpoint(endpoint, params),
        None if others.is_empty() => Found::Nothing,
        None => Found::OtherMethod(others),
    }
}

/// Which segments matched literally, and what the others stood for.
fn fit(pattern: &'static str, asked: &[Cow<'_, str>]) -> Option<(Vec<bool>, Params)> {
    // Nearly all patterns of a table end here, so this much allocates nothing.
    let mut wanted = raw_segments(pattern);
    let fits = |segment: &Cow<'_, str>| {
        wanted.next().is_some_and(|want| match name(want) {
            Some(_) => !segment.is_empty(),
            None => want == segment,
        })
    };
    if !asked.iter().all(fits) || wanted.next().is_some() {
        return None;
    }
    let mut params = Params::default();
    let mut literal = Vec::with_capacity(asked.len());
    for (want, segment) in raw_segments(pattern).zip(asked) {
        literal.push(name(want).is_none());
        params.0.extend(name(want).map(|name| (name, segment.clone().into_owned())));
    }
    Some((literal, params))
}

/// The name that a segment of a pattern stands for.
fn name(want: &'static str) -> Option<&'static str> {
    want.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum E {
        List,
        Detail,
        One,
        Delete,
    }

    fn table() -> Vec<Route<E>> {
        vec![
            (Method::GET, "/volumes", E::List),
            (Method::GET, "/volumes/{id}", E::One),
            (Method::GET, "/volumes/detail", E::Detail),
            (Method::DELETE, "/volumes/{id}", E::Delete),
        ]
    }

    #[test]
    fn literals_win_and_segments_are_decoded_once() {
        let find = |m: Method, p| find(&table(), &m, p);
        assert!(matches!(find(Method::GET, "/volumes/"), Found::Endpoint(E::List, _)));
        assert!(matches!(find(Method::GET, "/volumes/detail"), Found::Endpoint(E::Detail, _)));
        assert!(matches!(find(Method::HEAD, "/volumes"), Found::Endpoint(E::List, _)));
        let Found::Endpoint(E::One, params) = find(Method::GET, "/volumes/a%2Fb%2520%23") else {
            panic!("an encoded slash stays in its segment")
        };
        assert_eq!(params.get("id"), "a/b%20#");
        assert_eq!(params.get("other"), "");
        assert_eq!(find(Method::GET, "/volumes//"), Found::Nothing);
        assert_eq!(find(Method::GET, "/other"), Found::Nothing);
        assert_eq!(find(Method::PUT, "/volumes/x"), Found::OtherMethod(vec![Method::GET, Method::DELETE]));
    }

    #[test]
    fn queries_are_decoded_once() {
        let pairs: Vec<_> = query_pairs("a=1&b=x+y%2B&&flag&c=%3D%2526&=z").collect();
        let want = [("a", "1"), ("b", "x y+"), ("flag", ""), ("c", "=%26"), ("", "z")];
        assert_eq!(pairs, want.map(|(n, v)| (n.to_string(), v.to_string())));
    }
}
