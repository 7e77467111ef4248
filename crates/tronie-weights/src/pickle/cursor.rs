//! Reads a pickle front to back, in blocks.

use super::error::{Limit, PickleError, PickleProblem};
use crate::source::{Source, SourceError};

const BLOCK_BYTES: u64 = 1 << 16;

/// Why the next bytes could not be had.
pub(super) enum Stuck {
    Source(SourceError),
    Problem(PickleProblem),
}

impl From<SourceError> for Stuck {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<PickleProblem> for Stuck {
    fn from(problem: PickleProblem) -> Self {
        Self::Problem(problem)
    }
}

/// A position in a range of a source.
pub(crate) struct Cursor<'a> {
    source: &'a Source,
    start: u64,
    /// Offset in the source of the next byte.
    next: u64,
    end: u64,
    block: Vec<u8>,
    block_start: u64,
}

impl<'a> Cursor<'a> {
    /// The bytes `start..end` of `source`.
    pub(crate) fn new(source: &'a Source, start: u64, end: u64) -> Self {
        Self {
            source,
            start,
            next: start,
            end,
            block: Vec::new(),
            block_start: start,
        }
    }

    /// Bytes read since the start.
    pub(super) fn position(&self) -> u64 {
        self.next - self.start
    }

    /// Offset in the source of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.next
    }

    /// Bytes that are left.
    pub(super) fn remaining(&self) -> u64 {
        self.end - self.next
    }

    /// Fails when bytes are left after a pickle's last instruction.
    pub(super) fn expect_end(&self) -> Result<(), PickleError> {
        match self.remaining() {
            0 => Ok(()),
            found => Err(PickleError::Refused {
                opcode: "STOP",
                position: self.position().saturating_sub(1),
                problem: PickleProblem::Longer { found },
            }),
        }
    }

    /// Counts positions from here on, as a new pickle begins here.
    pub(super) fn restart(&mut self) {
        self.start = self.next;
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stuck> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stuck> {
        self.need(N as u64)?;
        let mut bytes = [0; N];
        self.copy(&mut bytes)?;
        Ok(bytes)
    }

    /// `n` bytes of text or data. The length is checked before anything is allocated.
    pub(super) fn bytes(&mut self, n: u64) -> Result<Vec<u8>, Stuck> {
        self.need(n)?;
        let limit = Limit::TextBytes;
        let n = usize::try_from(n).ok().filter(|_| n <= limit.most());
        let n = n.ok_or(PickleProblem::Limit { limit })?;
        let mut bytes = vec![0; n];
        self.copy(&mut bytes)?;
        Ok(bytes)
    }

    /// The bytes up to the next line feed, which is read and left out.
    pub(super) fn line(&mut self) -> Result<Vec<u8>, Stuck> {
        let limit = Limit::NameBytes;
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(line),
                byte if (line.len() as u64) < limit.most() => line.push(byte),
                _ => return Err(PickleProblem::Limit { limit }.into()),
            }
        }
    }

    /// Fails when fewer than `n` bytes are left.
    pub(super) fn need(&self, n: u64) -> Result<(), PickleProblem> {
        let found = self.remaining();
        if n > found {
            return Err(PickleProblem::End { expected: n, found });
        }
        Ok(())
    }

    fn copy(&mut self, into: &mut [u8]) -> Result<(), SourceError> {
        let n = into.len();
        if n as u64 >= BLOCK_BYTES {
            self.source.read_into(self.next, into)?;
        } else {
            let in_block = |cursor: &Self| {
                let from = usize::try_from(cursor.next.checked_sub(cursor.block_start)?).ok()?;
                Some(from..from.checked_add(n)?)
            };
            if in_block(self).and_then(|range| self.block.get(range)).is_none() {
                self.block = self.source.read(self.next, BLOCK_BYTES.min(self.remaining()))?;
                self.block_start = self.next;
            }
            if let Some(bytes) = in_block(self).and_then(|range| self.block.get(range)) {
                into.copy_from_slice(bytes);
            }
        }
        self.next += n as u64;
        Ok(())
    }
}
