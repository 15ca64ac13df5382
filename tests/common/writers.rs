//! Writers: one that keeps everything, and others that make trouble.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Keeps every byte; clones share the bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// What has been written since the last call.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A copy of what has been written.
    pub(crate) fn copy(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a [`Faulty`] writer does at its faulty byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Fails with the error `fault 1`, and with others later.
    Fails,
    /// Returns that it wrote no byte.
    WritesNothing,
    /// Panics.
    Panics,
}

/// Keeps the bytes before a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) memory: Memory,
    pub(crate) fault: Fault,
    /// Number of bytes before the fault.
    pub(crate) room: usize,
    pub(crate) faults: usize,
}

impl Faulty {
    pub(crate) fn new(fault: Fault, room: usize) -> Self {
        Self { memory: Memory::default(), fault, room, faults: 0 }
    }
}

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        if taken > 0 || bytes.is_empty() {
            return self.memory.write(&bytes[..taken]);
        }
        self.faults += 1;
        match self.fault {
            Fault::Fails => Err(io::Error::other(format!("fault {}", self.faults))),
            Fault::WritesNothing => Ok(0),
            Fault::Panics => panic!("this writer panics, as it should"),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a few bytes at a time, and is interrupted in between.
#[derive(Debug, Default)]
pub(crate) struct Stuttering {
    pub(crate) memory: Memory,
    pub(crate) calls: usize,
}

impl Write for Stuttering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = bytes.len().min(1 + self.calls % 97);
        self.memory.write(&bytes[..count])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Is slow in each write.
#[derive(Debug)]
pub(crate) struct Slow {
    pub(crate) memory: Memory,
    pub(crate) pause: Duration,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(self.pause);
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes every byte, and panics when it is dropped.
#[derive(Debug)]
pub(crate) struct PanicsWhenDropped;

impl Write for PanicsWhenDropped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("this writer panics, as it should");
    }
}

/// Takes a lock that the program takes, too, and keeps every byte.
#[derive(Debug)]
pub(crate) struct Locking {
    pub(crate) lock: Arc<Mutex<()>>,
    pub(crate) memory: Memory,
}

impl Write for Locking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
