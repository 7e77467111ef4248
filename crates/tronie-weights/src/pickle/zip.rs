//! The zip container, as narrowly as PyTorch writes it.
//!
//! Zip leaves so much room (comments, several directories, local headers that disagree with the central one, packed
//! or encrypted entries) that two programs can see two different archives in one file, which is how scanners are
//! fooled. Only one reading is possible of what is accepted here: entries are stored, directory and local headers
//! agree, nothing overlaps, no name is there twice, and nothing precedes or follows the archive.
//!
//! Format: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.

use std::collections::BTreeSet;

use crate::source::{Source, SourceError, shown};

/// A zip file that is not a PyTorch archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The directory is not where it must be.
    #[error("{file} has no zip directory at its end: the file is cut, or bytes were added")]
    NoDirectory {
        /// Which file.
        file: String,
    },
    /// The directory contradicts itself.
    #[error("the zip directory's {field} is {found}, expected {expected}")]
    Directory {
        /// Which field.
        field: &'static str,
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// An entry is not as PyTorch writes it.
    #[error("zip entry \"{entry}\": {problem}")]
    Entry {
        /// Its name.
        entry: String,
        /// Which rule it breaks.
        problem: EntryProblem,
    },
    /// The bytes of an entry are not those that were stored.
    #[error("zip entry \"{entry}\" has checksum {found:08x}, expected {expected:08x}")]
    Checksum {
        /// Its name.
        entry: String,
        /// Checksum in the directory.
        expected: u32,
        /// Checksum of the bytes.
        found: u32,
    },
    /// An entry that must be there is not.
    #[error("{file} is a zip file without an entry \"{entry}\", so not one of PyTorch's")]
    Missing {
        /// Which file.
        file: String,
        /// Which entry.
        entry: &'static str,
    },
}

/// The rule that a zip entry breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// It is packed.
    #[error("compression method {found}, expected 0 (stored)")]
    Method {
        /// The method.
        found: u16,
    },
    /// It is encrypted, or has other features.
    #[error("flags {found:#06x}, expected none but 0x0808 (sizes follow, UTF-8 name)")]
    Flags {
        /// All flags.
        found: u16,
    },
    /// Packed and unpacked size differ.
    #[error("{packed} bytes packed and {unpacked} unpacked, expected the same")]
    Sizes {
        /// Size in the file.
        packed: u64,
        /// Size it should have.
        unpacked: u64,
    },
    /// The name is not one of PyTorch's.
    #[error("name is not one that PyTorch gives")]
    Name,
    /// The name is there twice.
    #[error("name is there twice")]
    Duplicate,
    /// The entry's own header does not say what the directory says.
    #[error("its own header differs from the directory in {field}")]
    Header {
        /// In which field.
        field: &'static str,
    },
    /// It reaches into the next entry or the directory.
    #[error("it ends at byte {end}, expected at most {most}")]
    Overlap {
        /// First byte after it.
        end: u64,
        /// Where the next thing begins.
        most: u64,
    },
}

/// One entry and where its bytes are.
#[derive(Debug, Clone)]
pub(super) struct ZipEntry {
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) n_bytes: u64,
    pub(super) crc32: u32,
}

/// A CRC-32 checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crc(u32);

impl Crc {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(crc32fast::hash(bytes))
    }

    /// The checksum of a range, read block by block.
    pub(super) fn of_range(source: &Source, start: u64, n_bytes: u64) -> Result<Self, SourceError> {
        const BLOCK_BYTES: u64 = 1 << 20;
        let mut hasher = crc32fast::Hasher::new();
        let end = start.saturating_add(n_bytes);
        let mut at = start;
        while at < end {
            let n = BLOCK_BYTES.min(end - at);
            hasher.update(&source.read(at, n)?);
            at += n;
        }
        Ok(Self(hasher.finalize()))
    }

    pub(super) fn expect(self, expected: u32, entry: &str) -> Result<(), ArchiveError> {
        if self.0 != expected {
            return Err(ArchiveError::Checksum { entry: shown(entry), expected, found: self.0 });
        }
        Ok(())
    }
}

/// Little-endian fields, one after the other; zero where the bytes are used up, which `is_whole` tells.
struct Fields<'a> {
    bytes: &'a [u8],
    is_whole: bool,
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, is_whole: true }
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        match self.bytes.split_at_checked(n) {
            Some((head, rest)) => {
                self.bytes = rest;
                head
            }
            None => {
                self.is_whole = false;
                &[]
            }
        }
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.number())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.number())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.number())
    }
}

const END_BYTES: u64 = 22;
const LOCATOR_BYTES: u64 = 20;
const END64_BYTES: u64 = 56;
const CENTRAL_BYTES: u64 = 46;
const LOCAL_BYTES: u64 = 30;

const END_SIGNATURE: u32 = 0x0605_4b50;
const LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const END64_SIGNATURE: u32 = 0x0606_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;

/// Sizes follow the data (bit 3), names are UTF-8 (bit 11).
const ALLOWED_FLAGS: u16 = 0x0808;

/// Largest directory read; one of 100 000 entries has 8 MiB.
const MAX_DIRECTORY_BYTES: u64 = 64 << 20;

/// All entries of an archive, in the order of the file.
pub(super) fn entries(source: &Source) -> Result<Vec<ZipEntry>, ArchiveError> {
    let directory = find_directory(source)?;
    expect("size", directory.n_bytes.min(MAX_DIRECTORY_BYTES), directory.n_bytes)?;
    let bytes = source.read(directory.start, directory.n_bytes)?;
    let mut fields = Fields::of(&bytes);
    let mut names = BTreeSet::new();
    let mut centrals = Vec::new();
    while !fields.bytes.is_empty() {
        let central = central(&mut fields)?;
        if !names.insert(central.name.clone()) {
            return Err(refuse(&central.name, EntryProblem::Duplicate));
        }
        centrals.push(central);
    }
    expect("number of entries", directory.n_entries, centrals.len() as u64)?;
    centrals.sort_by_key(|central| central.offset);
    let first = centrals.first().map_or(0, |central| central.offset);
    expect("first entry's offset", 0, first)?;
    let nexts = centrals.iter().skip(1).map(|central| central.offset);
    let nexts: Vec<u64> = nexts.chain([directory.start]).collect();
    let pairs = centrals.into_iter().zip(nexts);
    pairs.map(|(central, next)| local(source, central, next)).collect()
}

struct Directory {
    start: u64,
    n_bytes: u64,
    n_entries: u64,
}

fn find_directory(source: &Source) -> Result<Directory, ArchiveError> {
    let absent = || ArchiveError::NoDirectory { file: source.name().to_owned() };
    let end = source.len().checked_sub(END_BYTES).ok_or_else(absent)?;
    let bytes = source.read(end, END_BYTES)?;
    let mut fields = Fields::of(&bytes);
    if fields.u32() != END_SIGNATURE {
        return Err(absent());
    }
    let disks = [fields.u16(), fields.u16()];
    let n_entries = [fields.u16(), fields.u16()];
    let (n_bytes, start, n_comment) = (fields.u32(), fields.u32(), fields.u16());
    expect("comment length", 0, n_comment.into())?;
    let (directory, directory_end) = match find_directory64(source, end)? {
        Some((found, found_at)) => {
            // Fields too small for their value are filled with ones.
            agree("size", found.n_bytes, n_bytes.into(), u32::MAX.into())?;
            agree("start", found.start, start.into(), u32::MAX.into())?;
            for n in n_entries {
                agree("number of entries", found.n_entries, n.into(), u16::MAX.into())?;
            }
            (found, found_at)
        }
        None => {
            let [here, all] = n_entries;
            expect("number of entries", here.into(), all.into())?;
            let directory = Directory { start: start.into(), n_bytes: n_bytes.into(), n_entries: all.into() };
            (directory, end)
        }
    };
    for disk in disks {
        agree("disk", 0, disk.into(), u16::MAX.into())?;
    }
    expect("end", directory_end, directory.start.saturating_add(directory.n_bytes))?;
    Ok(directory)
}

/// The 64 bit form, which lies right before the old one where it is there, and its own offset.
fn find_directory64(source: &Source, end: u64) -> Result<Option<(Directory, u64)>, ArchiveError> {
    let Some(locator_at) = end.checked_sub(LOCATOR_BYTES) else {
        return Ok(None);
    };
    let bytes = source.read(locator_at, LOCATOR_BYTES)?;
    let mut fields = Fields::of(&bytes);
    if fields.u32() != LOCATOR_SIGNATURE {
        return Ok(None);
    }
    let (disk, found_at, n_disks) = (fields.u32(), fields.u64(), fields.u32());
    expect("disk", 0, disk.into())?;
    expect("number of disks", 1, n_disks.max(1).into())?;
    let expected_at = locator_at.saturating_sub(END64_BYTES);
    expect("64 bit end's offset", expected_at, found_at)?;
    let bytes = source.read(found_at, END64_BYTES)?;
    let mut fields = Fields::of(&bytes);
    expect("64 bit end's signature", END64_SIGNATURE.into(), fields.u32().into())?;
    expect("64 bit end's size", END64_BYTES - 12, fields.u64())?;
    let _versions = fields.u32();
    expect("disk", 0, fields.u64())?;
    let (here, n_entries) = (fields.u64(), fields.u64());
    expect("number of entries", here, n_entries)?;
    let directory = Directory { n_entries, n_bytes: fields.u64(), start: fields.u64() };
    Ok(Some((directory, found_at)))
}

/// An entry as the directory describes it.
struct Central {
    name: String,
    flags: u16,
    crc32: u32,
    n_bytes: u64,
    offset: u64,
}

fn central(fields: &mut Fields<'_>) -> Result<Central, ArchiveError> {
    expect("entry signature", CENTRAL_SIGNATURE.into(), fields.u32().into())?;
    let _versions = fields.u32();
    let (flags, method) = (fields.u16(), fields.u16());
    let _modified = fields.u32();
    let crc32 = fields.u32();
    let (packed, unpacked) = (fields.u32(), fields.u32());
    let (n_name, n_extra, n_comment) = (fields.u16(), fields.u16(), fields.u16());
    let disk = fields.u16();
    let _attributes = (fields.u16(), fields.u32());
    let offset = fields.u32();
    let name = fields.take(n_name.into());
    let extra = fields.take(n_extra.into());
    let _comment = fields.take(n_comment.into());
    if !fields.is_whole {
        return Err(ArchiveError::Directory {
            field: "last entry's size",
            expected: CENTRAL_BYTES,
            found: 0,
        });
    }
    let shown_name = String::from_utf8_lossy(name);
    let name = std::str::from_utf8(name).map_err(|_| refuse(&shown_name, EntryProblem::Name))?;
    if flags & !ALLOWED_FLAGS != 0 {
        return Err(refuse(name, EntryProblem::Flags { found: flags }));
    }
    if method != 0 {
        return Err(refuse(name, EntryProblem::Method { found: method }));
    }
    expect("disk", 0, disk.into())?;
    let mut wide = wide_fields(extra);
    let mut widen = |narrow: u32| match narrow {
        u32::MAX => wide.as_mut().map(Fields::u64),
        narrow => Some(narrow.into()),
    };
    // This order is that of the 64 bit fields.
    let (unpacked, packed, offset) = (widen(unpacked), widen(packed), widen(offset));
    let is_whole = wide.is_none_or(|wide| wide.is_whole);
    let (Some(unpacked), Some(packed), Some(offset), true) = (unpacked, packed, offset, is_whole) else {
        return Err(refuse(name, EntryProblem::Header { field: "64 bit sizes" }));
    };
    if packed != unpacked {
        return Err(refuse(name, EntryProblem::Sizes { packed, unpacked }));
    }
    Ok(Central { name: name.to_owned(), flags, crc32, n_bytes: unpacked, offset })
}

/// The 64 bit sizes among an entry's extra fields (APPNOTE 4.5.3).
fn wide_fields(extra: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Fields::of(extra);
    while fields.bytes.len() >= 4 {
        let (id, n) = (fields.u16(), fields.u16());
        let body = fields.take(n.into());
        if id == 1 {
            return Some(Fields::of(body));
        }
    }
    None
}

/// Compares an entry's own header with the directory; the bytes of the entry follow that header.
fn local(source: &Source, central: Central, next: u64) -> Result<ZipEntry, ArchiveError> {
    let name = central.name;
    let differs = |field| refuse(&name, EntryProblem::Header { field });
    let fits = |end: u64| match end {
        end if end > next => Err(refuse(&name, EntryProblem::Overlap { end, most: next })),
        end => Ok(end),
    };
    let fixed_end = fits(central.offset.saturating_add(LOCAL_BYTES))?;
    let bytes = source.read(central.offset, LOCAL_BYTES)?;
    let mut fields = Fields::of(&bytes);
    if fields.u32() != LOCAL_SIGNATURE {
        return Err(differs("signature"));
    }
    let _version = fields.u16();
    let (flags, method) = (fields.u16(), fields.u16());
    let _modified = fields.u32();
    let (crc32, packed, unpacked) = (fields.u32(), fields.u32(), fields.u32());
    let (n_name, n_extra) = (fields.u16(), fields.u16());
    // Where sizes follow the data, the header has zeros in their place.
    let follows = flags & 8 != 0;
    let is_size =
        |size: u32| u64::from(size) == central.n_bytes || size == u32::MAX || (follows && size == 0);
    let checks = [
        ("flags", flags == central.flags),
        ("compression method", method == 0),
        ("checksum", crc32 == central.crc32 || (follows && crc32 == 0)),
        ("packed size", is_size(packed)),
        ("unpacked size", is_size(unpacked)),
        ("name", usize::from(n_name) == name.len()),
    ];
    if let Some((field, _)) = checks.iter().find(|(_, is_same)| !is_same) {
        return Err(differs(field));
    }
    let name_end = fits(fixed_end + u64::from(n_name))?;
    if source.read(fixed_end, n_name.into())? != name.as_bytes() {
        return Err(differs("name"));
    }
    let start = name_end + u64::from(n_extra);
    fits(start.saturating_add(central.n_bytes))?;
    Ok(ZipEntry { start, n_bytes: central.n_bytes, crc32: central.crc32, name })
}

fn refuse(name: &str, problem: EntryProblem) -> ArchiveError {
    let entry = shown(name);
    ArchiveError::Entry { entry, problem }
}

fn expect(field: &'static str, expected: u64, found: u64) -> Result<(), ArchiveError> {
    if expected != found {
        return Err(ArchiveError::Directory { field, expected, found });
    }
    Ok(())
}

/// As [`expect`], for a field that is filled with ones where the value does not fit it.
fn agree(field: &'static str, expected: u64, found: u64, filled: u64) -> Result<(), ArchiveError> {
    if found == filled { Ok(()) } else { expect(field, expected, found) }
}
