//! Sizes as people write and read them.

/// 2^10 bytes.
pub const KIB: u64 = 1 << 10;
/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;
/// 2^40 bytes.
pub const TIB: u64 = 1 << 40;
/// The unit of every volume's size, in bytes.
pub const SECTOR: u64 = 512;

const UNITS: [(&str, u64); 13] = [
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", TIB),
    ("PiB", TIB << 10),
    ("EiB", TIB << 20),
];

/// The text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a size: write bytes or a number with one of kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB, PiB, EiB"
)]
pub struct BadSize(pub String);

/// Bytes from text: a whole number, or a decimal number with a unit (`10GiB`, `1.5 TB`).
pub fn parse_size(text: &str) -> Result<u64, BadSize> {
    let bad = || BadSize(text.chars().take(64).collect());
    let t = text.trim();
    let split = t.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(t.len());
    let (number, unit) = (&t[..split], t[split..].trim());
    let unit = match unit {
        "" => 1,
        u => UNITS.iter().find(|(name, _)| *name == u).map(|(_, n)| *n).ok_or_else(bad)?,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    if fraction.len() > 9 || !fraction.chars().all(|c| c.is_ascii_digit()) || number.ends_with('.') {
        return Err(bad());
    }
    let part = match fraction {
        "" => 0,
        f => {
            let n: u64 = f.parse().map_err(|_| bad())?;
            (u128::from(n) * u128::from(unit) / 10u128.pow(f.len() as u32)) as u64
        }
    };
    whole.checked_mul(unit).and_then(|w| w.checked_add(part)).ok_or_else(bad)
}

/// The shortest exact binary form: `2GiB`, `1536MiB`, `513B`.
pub fn format_size(bytes: u64) -> String {
    let binary =
        [("EiB", TIB << 20), ("PiB", TIB << 10), ("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
    match binary.iter().find(|(_, n)| bytes >= *n && bytes.is_multiple_of(*n)) {
        Some((name, n)) => format!("{}{name}", bytes / n),
        None => format!("{bytes}B"),
    }
}

/// `n` rounded up to a multiple of `unit` (at least 1), or `None` past 2^64.
pub fn round_up(n: u64, unit: u64) -> Option<u64> {
    n.div_ceil(unit).checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("2GiB", 2 * GIB),
            (" 10 MB ", 10_000_000),
            ("512", 512),
            ("1.5KiB", 1536),
            ("0", 0),
            ("7EiB", 7 << 60),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "-1", "1.GiB", "16EiB", "1e3", "99999999999999999999", "1gib", "1 2"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for n in [0, 1, 513, 1536, 2 * GIB, 1536 * MIB, u64::MAX] {
            assert_eq!(parse_size(&format_size(n)), Ok(n));
        }
        assert_eq!(round_up(u64::MAX, 512), None);
        assert_eq!(round_up(1, 512), Some(512));
    }
}
