//! Sizes as people type them.

use parpen_base::{BadSize, MIB, parse_size};

/// A size; the letters of disk tools (`4G`, `512M`) are binary units, as there.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(['K', 'M', 'G', 'T', 'P', 'E']);
    let read = match text.len() - number.len() {
        1 => parse_size(&format!("{text}iB")),
        _ => parse_size(text),
    };
    read.map_err(|_| BadSize(text.chars().take(64).collect()).to_string())
}

/// The size of a volume: a small number without a unit is a slip of the pen.
pub(super) fn volume_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    let bare = text.trim().chars().all(|c| c.is_ascii_digit());
    match bare && (1..MIB).contains(&bytes) {
        true => Err(format!("{bytes} bytes? write {bytes}GiB, or {bytes}B if you mean it")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use parpen_base::{GIB, TIB};

    use super::*;

    #[test]
    fn letters_are_binary_units() {
        for (text, bytes) in [("4G", 4 * GIB), ("1.5M", MIB * 3 / 2), ("2T", 2 * TIB), ("4GiB", 4 * GIB)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["G", "4GG", "4g", "16E", "4Gi"] {
            let why = size(text).unwrap_err();
            assert!(why.starts_with(&format!("{text:?} is not a size")), "{why}");
        }
    }

    #[test]
    fn a_volume_of_four_bytes_is_a_slip_of_the_pen() {
        assert!(volume_size("4").unwrap_err().contains("4 bytes? write 4GiB"));
        assert_eq!(volume_size("4B"), Ok(4));
        assert_eq!(volume_size("1048576"), Ok(MIB));
        assert_eq!(volume_size("4G"), Ok(4 * GIB));
    }
}
