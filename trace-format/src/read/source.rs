//! Where a file's bytes come from if they are read out of order.

use std::fs::File;
use std::io;

/// Bytes that can be read at any place, by several threads at once.
pub trait ReadAt {
    /// Reads into the front of `out` from `offset` on.
    ///
    /// - Returns the bytes read; 0 only at the end, or if `out` is empty. May be fewer than asked.
    ///
    /// # Errors
    /// Whatever the source reports.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many bytes there are.
    ///
    /// # Errors
    /// Whatever the source reports.
    fn bytes(&self) -> io::Result<u64>;
}

impl ReadAt for [u8] {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(out, offset)
    }

    fn bytes(&self) -> io::Result<u64> {
        self.as_slice().bytes()
    }
}

impl<S: ReadAt + ?Sized> ReadAt for &S {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(out, offset)
    }

    fn bytes(&self) -> io::Result<u64> {
        (**self).bytes()
    }
}

impl ReadAt for File {
    #[cfg(unix)]
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, out, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, out, offset)
    }

    #[cfg(not(any(unix, windows)))]
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        use std::io::{Read, Seek, SeekFrom};
        use std::sync::Mutex;
        // All threads share one cursor: no other may come between seek and read.
        static CURSOR: Mutex<()> = Mutex::new(());
        let _cursor = CURSOR.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = self;
        file.seek(SeekFrom::Start(offset))?;
        file.read(out)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Fills `out` from `offset` on, until it is full or the bytes end. Returns how many were read.
pub(crate) fn read_full<S: ReadAt + ?Sized>(
    source: &S,
    out: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match source.read_at(&mut out[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count.min(out.len() - filled),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A source that is read from front to end, for code that needs a `Read`.
#[derive(Debug)]
pub(crate) struct Sequential<'s, S: ?Sized> {
    pub(crate) source: &'s S,
    pub(crate) offset: u64,
}

impl<S: ReadAt + ?Sized> io::Read for Sequential<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(out, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
