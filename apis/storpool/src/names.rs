//! What this API calls things: names, global ids, clients.

use parpen_model::{Api, Condition, Host};
use parpen_service::names::Space;
use uuid::Uuid;

/// Longest name of a volume, snapshot or template, in characters.
const NAME_MAX: usize = 199;
/// Largest id of a client.
pub const CLIENT_MAX: u64 = 4095;

/// The space of this API's names: one for volumes and snapshots, service-wide.
pub fn space() -> Space {
    Space::global(Api::StorPool)
}

fn plain(c: char, also: &[char]) -> bool {
    c.is_ascii_alphanumeric() || also.contains(&c)
}

fn check(field: &str, name: &str, fits: bool, reserved: &[&str], allowed: &str) -> Result<String, Condition> {
    if name.is_empty() || !fits {
        return Err(Condition::invalid(field, format!("a name consists of {allowed}")));
    }
    if name.len() > NAME_MAX {
        return Err(Condition::invalid(field, format!("a name has at most {NAME_MAX} characters")));
    }
    if reserved.contains(&name) {
        return Err(Condition::invalid(field, format!("{name} is reserved; take another name")));
    }
    Ok(name.to_string())
}

/// The name of a new volume.
pub fn volume_name(field: &str, name: &str) -> Result<String, Condition> {
    let rest = name.strip_prefix('#').unwrap_or(name);
    let fits = !rest.is_empty() && rest.chars().all(|c| plain(c, &['_', '-', '.', ':']));
    check(field, name, fits, &["list", "status"], "A-Z a-z 0-9 _ - . :, after an optional #")
}

/// The name of a new snapshot. Its `@` is kept for names that the service makes; a `#` stands before names of volumes
/// only, and the bindings refuse a whole list for one snapshot that has it.
pub fn snapshot_name(field: &str, name: &str) -> Result<String, Condition> {
    let fits = name.chars().all(|c| plain(c, &['_', '-', '.', ':']));
    check(field, name, fits, &["list", "status"], "A-Z a-z 0-9 _ - . :")
}

/// Whether a template may bear that name: what does not fit was made elsewhere and is not shown here.
pub fn is_template_name(name: &str) -> bool {
    template_name("name", name).is_ok()
}

/// The name of a new template.
pub fn template_name(field: &str, name: &str) -> Result<String, Condition> {
    let fits = name.chars().all(|c| plain(c, &['_', '-']));
    check(field, name, fits, &["list"], "A-Z a-z 0-9 _ -")
}

/// How hosts are spelled that this API knows by number.
pub fn client_spelling(client: u64) -> String {
    format!("client-{client}")
}

/// The number in such a spelling.
pub fn client_of(spelling: &str) -> Option<u64> {
    let digits = spelling.strip_prefix("client-")?;
    let n = digits.parse().ok().filter(|n| (1..=CLIENT_MAX).contains(n))?;
    (client_spelling(n) == spelling).then_some(n)
}

/// The number of a host that has one among its spellings.
pub fn client_of_host(host: &Host) -> Option<u64> {
    host.spellings.iter().find_map(|s| client_of(s))
}

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Bits of an id's three groups, from the highest.
const GROUPS: [u32; 3] = [32, 48, 48];

/// The id that is unique in the world: three groups in base 36.
pub fn global_id(id: Uuid) -> String {
    let mut left = 128;
    let groups = GROUPS.map(|bits| {
        left -= bits;
        let mut n = (id.as_u128() >> left) & ((1 << bits) - 1);
        let mut text = Vec::new();
        while n > 0 || text.is_empty() {
            text.push(char::from(DIGITS[(n % 36) as usize]));
            n /= 36;
        }
        text.iter().rev().collect::<String>()
    });
    groups.join(".")
}

/// The id behind such a text.
pub fn parse_global_id(text: &str) -> Option<Uuid> {
    let mut groups = text.split('.');
    let mut id = 0u128;
    for bits in GROUPS {
        let group =
            groups.next().filter(|g| g.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase()))?;
        let n = u128::from_str_radix(group, 36).ok().filter(|n| *n < 1 << bits)?;
        id = (id << bits) | n;
    }
    groups.next().is_none().then(|| Uuid::from_u128(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_that_the_bindings_send() {
        for good in ["a", "#a", "a:b.c-d_e", &"x".repeat(199)] {
            assert_eq!(volume_name("name", good).as_deref(), Ok(good));
        }
        for bad in ["", "#", "a#", "a b", "a@b", "a/b", "\u{e9}", "list", "status", &"x".repeat(200)] {
            assert!(volume_name("name", bad).is_err(), "{bad}");
        }
        for good in ["a", "a:b.c-d_e", &"x".repeat(199)] {
            assert_eq!(snapshot_name("name", good).as_deref(), Ok(good));
        }
        for bad in ["", "#", "#a", "*a", "a@b", "list", "status", &"x".repeat(200)] {
            assert!(snapshot_name("name", bad).is_err(), "{bad}");
        }
        assert!(is_template_name("ssd-3_x") && is_template_name("status"));
        assert!(!is_template_name("list") && !is_template_name("my type") && !is_template_name("a.b"));
    }

    #[test]
    fn clients_are_hosts_of_a_fixed_spelling() {
        assert_eq!(client_of("client-19"), Some(19));
        for other in ["client-0", "client-4096", "client-019", "client-+1", "client-", "19", "compute1"] {
            assert_eq!(client_of(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_global_id_leads_back(n in any::<u128>()) {
            let id = Uuid::from_u128(n);
            prop_assert_eq!(parse_global_id(&global_id(id)), Some(id));
        }

        #[test]
        fn no_text_confuses_it(text in "[a-z0-9.~]{0,40}") {
            if let Some(id) = parse_global_id(&text) {
                prop_assert_eq!(parse_global_id(&global_id(id)), Some(id));
            }
        }
    }
}
