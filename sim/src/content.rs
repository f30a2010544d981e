//! Bytes that say who wrote them: each 256-byte cell of a block carries one stamp, and nothing else looks
//! like it.

use parpen_base::PAGE;

/// Bytes of a cell: the unit in which the simulator writes. Half a sector, so that nothing is aligned to one.
pub const CELL: usize = 256;
/// Cells of a block.
pub const CELLS: usize = PAGE / CELL;

/// What a block holds: a stamp per cell, 0 for zeros.
pub type Block = [u32; CELLS];

/// A block of zeros.
pub const ZEROS: Block = [0; CELLS];

fn word(stamp: u32, i: usize) -> u32 {
    if i == 0 || stamp == 0 { stamp } else { (stamp ^ (i as u32) << 24).wrapping_mul(0x9e37_79b1) }
}

/// Writes the cell that carries `stamp`.
pub fn write_cell(out: &mut [u8], stamp: u32) {
    if stamp == 0 {
        out.fill(0);
        return;
    }
    for (i, bytes) in out.chunks_exact_mut(4).enumerate() {
        bytes.copy_from_slice(&word(stamp, i).to_le_bytes());
    }
}

/// The stamp of a cell, or `None` if its bytes are nobody's.
pub fn read_cell(bytes: &[u8]) -> Option<u32> {
    let at =
        |i: usize| u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]);
    let stamp = at(0);
    (0..bytes.len() / 4).all(|i| at(i) == word(stamp, i)).then_some(stamp)
}

/// The bytes of `stamps`, cell after cell.
pub fn write_cells(stamps: &[u32]) -> Vec<u8> {
    let mut out = vec![0; stamps.len() * CELL];
    for (cell, stamp) in out.chunks_exact_mut(CELL).zip(stamps) {
        write_cell(cell, *stamp);
    }
    out
}

/// The stamps of `bytes`, whose length is a multiple of a cell; `Err` is the index of the first cell that
/// is nobody's.
pub fn read_cells(bytes: &[u8]) -> Result<Vec<u32>, usize> {
    bytes.chunks_exact(CELL).enumerate().map(|(i, cell)| read_cell(cell).ok_or(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_its_stamp_and_damage_says_so() {
        for stamp in [0, 1, 2, 77, u32::MAX] {
            let mut bytes = write_cells(&[5, stamp]);
            assert_eq!(read_cells(&bytes), Ok(vec![5, stamp]));
            bytes[CELL + 100] ^= 4;
            assert_eq!(read_cells(&bytes), Err(1));
        }
    }
}
