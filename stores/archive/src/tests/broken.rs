//! A store that breaks at the n-th call that changes it, as if the process had been killed there: the next call of the
//! same verb must find what is there and end as if nothing had been.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use super::*;

#[derive(Debug)]
struct Breaking {
    inner: Arc<InMemory>,
    /// Changes that still succeed.
    left: AtomicI64,
    /// The change that breaks is done all the same: only its answer is lost.
    done: bool,
}

impl Breaking {
    fn gone() -> Error {
        Error::Generic { store: "test", source: "the line is cut".into() }
    }

    /// How this change ends: well, or broken; and whether it is done.
    fn strike(&self) -> (bool, bool) {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            n if n > 0 => (true, true),
            0 => (false, self.done),
            _ => (false, false),
        }
    }
}

impl fmt::Display for Breaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("breaking")
    }
}

type Fut<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl ObjectStore for Breaking {
    fn put_opts<'a: 'r, 'b: 'r, 'r>(
        &'a self,
        at: &'b Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Fut<'r, Result<PutResult>>
    where
        Self: 'r,
    {
        Box::pin(async move {
            let (well, done) = self.strike();
            let result = if done { Some(self.inner.put_opts(at, payload, opts).await) } else { None };
            match (well, result) {
                (true, Some(result)) => result,
                _ => Err(Breaking::gone()),
            }
        })
    }

    fn put_multipart_opts<'a: 'r, 'b: 'r, 'r>(
        &'a self,
        at: &'b Path,
        opts: PutMultipartOptions,
    ) -> Fut<'r, Result<Box<dyn MultipartUpload>>>
    where
        Self: 'r,
    {
        self.inner.put_multipart_opts(at, opts)
    }

    fn get_opts<'a: 'r, 'b: 'r, 'r>(&'a self, at: &'b Path, options: GetOptions) -> Fut<'r, Result<GetResult>>
    where
        Self: 'r,
    {
        self.inner.get_opts(at, options)
    }

    fn delete_stream(&self, all: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (well, done) = self.strike();
        let deleted =
            self.inner.delete_stream(if done { all } else { futures_util::stream::empty().boxed() });
        if well {
            return deleted;
        }
        let broken = futures_util::stream::once(async { Err(Breaking::gone()) });
        deleted.filter(|_| std::future::ready(false)).chain(broken).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_delimiter<'a: 'r, 'b: 'r, 'r>(
        &'a self,
        prefix: Option<&'b Path>,
    ) -> Fut<'r, Result<ListResult>>
    where
        Self: 'r,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'a: 'r, 'b: 'r, 'c: 'r, 'r>(
        &'a self,
        from: &'b Path,
        to: &'c Path,
        options: CopyOptions,
    ) -> Fut<'r, Result<()>>
    where
        Self: 'r,
    {
        self.inner.copy_opts(from, to, options)
    }
}

fn breaking(inner: &Arc<InMemory>, left: i64, done: bool) -> ObjectArchive {
    archive(Arc::new(Breaking { inner: inner.clone(), left: AtomicI64::new(left), done }))
}

#[tokio::test]
async fn what_breaks_off_is_taken_up_where_it_was() {
    let mut bytes = noise(14);
    let (first, old) = (device(&bytes).await, bytes.clone());
    bytes[3 * BLOCK as usize..9 * BLOCK as usize].reverse();
    let second = device(&bytes).await;
    let mut broke = 0;
    for done in [false, true] {
        for left in 0..12 {
            let inner = Arc::new(InMemory::new());
            let whole = archive(inner.clone());
            whole.store(&new(1, None), &first, &Quiet).await.unwrap();
            let cut = breaking(&inner, left, done).store(&new(2, Some(1)), &second, &Quiet).await;
            broke += u32::from(cut.is_err());
            whole.store(&new(2, Some(1)), &second, &Quiet).await.unwrap();
            assert!(restored(&whole, 2, &bytes).await == bytes, "store, {left} {done}");
            let cut = breaking(&inner, left, done).remove(&place(1)).await;
            broke += u32::from(cut.is_err());
            whole.remove(&place(1)).await.unwrap();
            assert!(restored(&whole, 2, &old).await == bytes, "remove, {left} {done}");
            whole.remove(&place(2)).await.unwrap();
            assert_eq!(objects(&*inner).await, 0, "{left} {done}");
        }
    }
    assert!(broke > 12, "{broke}");
}

// Only whole segments in order count; what was torn is written anew.
#[tokio::test]
async fn a_torn_segment_is_not_taken_for_a_whole_one() {
    let bytes = noise(14);
    let source = device(&bytes).await;
    let inner = Arc::new(InMemory::new());
    let a = archive(inner.clone());
    breaking(&inner, 3, false).store(&new(1, None), &source, &Quiet).await.unwrap_err();
    let second = a.segment_path(&place(1), &format!("{}/00000001", place(1).backup));
    let torn = a.get(&second).await.unwrap().slice(..1000);
    a.put(&second, torn, object_store::PutMode::Overwrite).await.unwrap();
    a.store(&new(1, None), &source, &Quiet).await.unwrap();
    a.verify(&place(1), &Quiet).await.unwrap();
    assert!(restored(&a, 1, &vec![0; bytes.len()]).await == bytes);
}
