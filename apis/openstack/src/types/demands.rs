//! What extra specs demand of a pool, by the rules and operators of Cinder's filter of capabilities.

use serde_json::{Map, Value, json};

use crate::backends::facts;
use crate::fields::truth;

/// True of every pool, though its figures do not tell.
const BESIDES: [&str; 2] = ["cacheable", "consistent_group_snapshot_enabled"];

/// Figures that differ from pool to pool or change all the time: the names become a rule of their own, and nothing is
/// promised of the others.
const OTHERS: [&str; 8] = [
    "volume_backend_name",
    "pool_name",
    "total_capacity_gb",
    "free_capacity_gb",
    "allocated_capacity_gb",
    "provisioned_capacity_gb",
    "total_volumes",
    "timestamp",
];

/// The first of these specs that no pool has, as `key: value`. Keys with another scope than `capabilities` are for others.
pub(super) fn lacking(specs: &Map<String, Value>) -> Option<String> {
    let demands = specs.iter().filter_map(|(key, value)| {
        let name = match key.split_once(':') {
            None => key.as_str(),
            Some(("capabilities", name)) => name,
            Some(_) => return None,
        };
        Some((name, key, value.as_str()?))
    });
    let missing = |name: &str, wanted: &str| match facts().into_iter().find(|(fact, _)| *fact == name) {
        Some((_, has)) => !meets(&has, wanted),
        None if BESIDES.contains(&name) => !meets(&json!(true), wanted),
        None => !OTHERS.contains(&name),
    };
    demands
        .into_iter()
        .find(|(name, _, wanted)| missing(name, wanted))
        .map(|(_, key, wanted)| format!("{key}: {wanted}"))
}

/// Whether what a pool has is what a spec wants: an operator and its operands, or the value itself.
fn meets(has: &Value, wanted: &str) -> bool {
    let mut words = wanted.split_whitespace();
    let operator = words.next().unwrap_or_default();
    let text = match has {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if operator == "<or>" {
        return words.step_by(2).any(|word| word == text);
    }
    let operand = words.next();
    let numbers = || Some((text.parse::<f64>().ok()?, operand?.parse::<f64>().ok()?));
    let number = |holds: fn(f64, f64) -> bool| numbers().is_some_and(|(a, b)| holds(a, b));
    let words = |holds: fn(&str, &str) -> bool| operand.is_some_and(|o| holds(&text, o));
    match operator {
        "=" | ">=" => number(|a, b| a >= b),
        "<=" => number(|a, b| a <= b),
        "==" => number(|a, b| a == b),
        "!=" => number(|a, b| a != b),
        "s==" => words(|a, b| a == b),
        "s!=" => words(|a, b| a != b),
        "s>=" => words(|a, b| a >= b),
        "s>" => words(|a, b| a > b),
        "s<=" => words(|a, b| a <= b),
        "s<" => words(|a, b| a < b),
        "<in>" => words(|a, b| a.contains(b)),
        "<is>" => operand.is_some_and(|o| truth(&text).unwrap_or(false) == truth(o).unwrap_or(false)),
        _ => match has {
            Value::Bool(has) => truth(wanted) == Some(*has),
            _ => text == wanted,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_operators_are_cinders() {
        let yes = [
            (json!("nbd"), "nbd"),
            (json!("nbd"), "s== nbd"),
            (json!("nbd"), "<or> iSCSI <or> nbd"),
            (json!("nbd"), "<in> bd"),
            (json!("nbd"), "s!= ceph"),
            (json!(true), "<is> True"),
            (json!(true), "true"),
            (json!(true), "yes"),
            (json!(false), "<is> False"),
            (json!(false), "<is> what"),
            (json!(10), "= 5"),
            (json!(10), "== 10"),
            (json!(10), "<= 10.5"),
        ];
        for (has, wanted) in yes {
            assert!(meets(&has, wanted), "{has} {wanted}");
        }
        let no = [
            (json!("nbd"), "iSCSI"),
            (json!("nbd"), "<or> iSCSI <or> ceph"),
            (json!("nbd"), "== nbd"),
            (json!("nbd"), "s=="),
            (json!(true), "<is> False"),
            (json!(true), "maybe"),
            (json!(10), "= 11"),
            (json!(10), "ten"),
            (Value::Null, "anything"),
        ];
        for (has, wanted) in no {
            assert!(!meets(&has, wanted), "{has} {wanted}");
        }
    }

    #[test]
    fn what_no_pool_has_is_named() {
        let of = |specs: Value| lacking(specs.as_object().unwrap());
        let fine = json!({
            "volume_backend_name": "any", "multiattach": "<is> True", "capabilities:storage_protocol": "nbd",
            "free_capacity_gb": ">= 1000", "RESKEY:availability_zones": "nova", "provisioning:min_vol_size": "4",
            "cacheable": "<is> True",
        });
        assert_eq!(of(fine), None);
        for (key, value) in [
            ("vendor_name", "somebody"),
            ("capabilities:storage_protocol", "<in> iSCSI"),
            ("capabilities:replication_enabled", "<is> True"),
            ("nobody_knows_this", "1"),
        ] {
            assert_eq!(of(json!({ key: value })), Some(format!("{key}: {value}")));
        }
    }
}
