//! Owned, page-aligned byte buffers: what O_DIRECT, io_uring and the NBD sockets all accept.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Alignment and growth unit of a [`Buf`], in bytes.
pub const PAGE: usize = 4096;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// An owned buffer whose first byte is 4 KiB aligned. Its length is in bytes and need not be a multiple of a page;
/// its capacity always is. Ownership moves with the request, so no completion ever writes into freed memory.
pub struct Buf {
    pages: Vec<Page>,
    len: usize,
}

impl Buf {
    /// A buffer of `len` zero bytes. Aborts, as every allocation does, when the machine has no memory left.
    pub fn zeroed(len: usize) -> Buf {
        let pages = Page::new_vec_zeroed(len.div_ceil(PAGE)).expect("the allocator answers or aborts");
        Buf { pages, len }
    }

    /// A buffer that holds a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Buf {
        let mut b = Buf::zeroed(bytes.len());
        b.copy_from_slice(bytes);
        b
    }

    /// Bytes that fit without a new allocation.
    pub fn capacity(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Sets the length in bytes; grows with zero pages where needed, keeps what stands in the pages it has.
    pub fn resize(&mut self, len: usize) {
        if len > self.capacity() {
            let mut grown =
                Page::new_vec_zeroed(len.div_ceil(PAGE)).expect("the allocator answers or aborts");
            grown[..self.pages.len()].clone_from_slice(&self.pages);
            self.pages = grown;
        }
        self.len = len;
    }
}

impl std::ops::Deref for Buf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.pages.as_slice().as_bytes()[..self.len]
    }
}

impl std::ops::DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pages.as_mut_slice().as_mut_bytes()[..self.len]
    }
}

impl Clone for Buf {
    fn clone(&self) -> Buf {
        Buf::copy_of(self)
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_keeps_its_bytes_and_grows_with_zeros() {
        let mut b = Buf::copy_of(b"stone");
        assert_eq!(b.as_ptr() as usize % PAGE, 0);
        b.resize(3 * PAGE + 1);
        assert_eq!(&b[..5], b"stone");
        assert!(b[5..].iter().all(|x| *x == 0));
        assert_eq!(b.capacity(), 4 * PAGE);
        assert_eq!(Buf::zeroed(0).len(), 0);
    }
}
