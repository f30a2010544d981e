//! Writing qcow2: one pass over the disk, in order; clusters of zeros take no room.
//!
//! The file is: header, clusters of data with a second table after each that is full, first table, reference counts. All
//! clusters from the first to the last are in use exactly once, which is what the counts say.

use std::io::{self, Seek, SeekFrom, Write};

/// Bits of a cluster's length: what QEMU takes.
const BITS: u32 = 16;
const CLUSTER: u64 = 1 << BITS;
/// Entries of a second table.
const PER_TABLE: u64 = CLUSTER / 8;
/// Counts of 16 bits in a cluster.
const PER_COUNTS: u64 = CLUSTER / 2;
/// This cluster belongs to nobody else.
const COPIED: u64 = 1 << 63;

/// A qcow2 file that is being written.
pub struct Writer<W> {
    to: W,
    size: u64,
    /// Clusters of the file that are taken.
    used: u64,
    l1: Vec<u64>,
    /// The second table that is being filled, and which one it is.
    l2: Vec<u64>,
    outer: u64,
}

impl<W: Write + Seek> Writer<W> {
    /// A file for a disk of `size` bytes.
    pub fn new(mut to: W, size: u64) -> io::Result<Writer<W>> {
        let tables = size.div_ceil(CLUSTER * PER_TABLE);
        to.seek(SeekFrom::Start(CLUSTER))?;
        Ok(Writer {
            to,
            size,
            used: 1,
            l1: vec![0; tables as usize],
            l2: vec![0; PER_TABLE as usize],
            outer: 0,
        })
    }

    /// Bytes of one cluster of the disk.
    pub const CLUSTER: u64 = CLUSTER;

    /// Stores the cluster `number` of the disk; the last one of a disk may be shorter. Numbers ascend.
    pub fn put(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        if number / PER_TABLE != self.outer {
            self.end_table()?;
            self.outer = number / PER_TABLE;
        }
        self.l2[(number % PER_TABLE) as usize] = (self.used * CLUSTER) | COPIED;
        self.append(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        let rest = bytes.len() as u64 % CLUSTER;
        if rest != 0 {
            self.to.write_all(&vec![0; (CLUSTER - rest) as usize])?;
        }
        self.used += (bytes.len() as u64).div_ceil(CLUSTER);
        Ok(())
    }

    fn end_table(&mut self) -> io::Result<()> {
        if self.l2.iter().all(|e| *e == 0) {
            return Ok(());
        }
        self.l1[self.outer as usize] = (self.used * CLUSTER) | COPIED;
        let bytes: Vec<u8> = self.l2.iter().flat_map(|e| e.to_be_bytes()).collect();
        self.l2.fill(0);
        self.append(&bytes)
    }

    /// Writes the rest.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_table()?;
        let l1_at = self.used * CLUSTER;
        let l1: Vec<u8> = self.l1.iter().flat_map(|e| e.to_be_bytes()).collect();
        self.append(&l1)?;
        let (counts_at, before) = (self.used * CLUSTER, self.used);
        // The counts count themselves and their table.
        let (mut counts, mut table) = (1, 1);
        while (before + counts + table).div_ceil(PER_COUNTS) > counts
            || (counts * 8).div_ceil(CLUSTER) > table
        {
            counts = (before + counts + table).div_ceil(PER_COUNTS);
            table = (counts * 8).div_ceil(CLUSTER);
        }
        let all = before + counts + table;
        let mut block = vec![0; (counts * CLUSTER) as usize];
        block[..all as usize * 2].chunks_exact_mut(2).for_each(|c| c.copy_from_slice(&[0, 1]));
        self.append(&block)?;
        let table_at = self.used * CLUSTER;
        let pointers: Vec<u8> = (0..counts).flat_map(|i| (counts_at + i * CLUSTER).to_be_bytes()).collect();
        self.append(&pointers)?;
        let header = self.header(l1_at, table_at, table);
        self.to.seek(SeekFrom::Start(0))?;
        self.to.write_all(&header)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn header(&self, l1_at: u64, table_at: u64, table: u64) -> Vec<u8> {
        let mut h = Vec::with_capacity(112);
        let mut word = |n: u64| h.extend_from_slice(&(n as u32).to_be_bytes());
        word(u64::from(super::MAGIC));
        word(3);
        (0..3).for_each(|_| word(0)); // no backing file
        word(u64::from(BITS));
        word(self.size >> 32);
        word(self.size);
        word(0); // not encrypted
        word(self.l1.len() as u64);
        for offset in [l1_at, table_at] {
            word(offset >> 32);
            word(offset);
        }
        word(table);
        (0..3).for_each(|_| word(0)); // no snapshots
        (0..6).for_each(|_| word(0)); // no features
        word(4); // counts of 16 bits
        word(104);
        (0..2).for_each(|_| word(0)); // the end of header extensions
        h
    }
}
