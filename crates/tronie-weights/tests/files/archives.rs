//! Zip files that are not quite PyTorch archives, and files that are something else altogether.

use std::path::Path;

use tronie_base::{Fault, Faulty as _};
use tronie_weights::{open, scan};

use crate::assembler::{Entry, archive, entries, legacy, one_tensor, zip};

const STORAGE: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

fn good() -> Vec<Entry> {
    entries(&one_tensor(), &[("0", &STORAGE)])
}

/// The good archive after a change.
fn changed(change: impl FnOnce(&mut Vec<Entry>)) -> Vec<u8> {
    let mut entries = good();
    change(&mut entries);
    zip(&entries)
}

/// The good archive with some of its bytes replaced.
fn patched(at: impl FnOnce(&[u8]) -> usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = zip(&good());
    let at = at(&file);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// The message with which a file is refused, when it is opened or when its tensors are read.
#[track_caller]
fn refusal(folder: &Path, what: &str, bytes: &[u8]) -> String {
    let path = folder.join("a.ckpt");
    std::fs::write(&path, bytes).unwrap();
    let file = match open(&path) {
        Err(error) => {
            assert_eq!(error.fault(), Fault::Input, "{what}: {error}");
            assert!(!scan(&path).unwrap().safe, "{what}");
            return error.to_string();
        }
        Ok(file) => file,
    };
    let mut reads = file.names().into_iter().map(|name| file.read(&name));
    let error = reads.find_map(Result::err);
    error.unwrap_or_else(|| panic!("{what} was accepted")).to_string()
}

#[test]
fn the_archive_that_the_cases_start_from_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    std::fs::write(&path, zip(&good())).unwrap();
    assert_eq!(open(&path).unwrap().read("w").unwrap().unwrap().bytes, STORAGE);
    // Whatever comes first in it.
    let mut reversed = good();
    reversed.reverse();
    std::fs::write(&path, zip(&reversed)).unwrap();
    assert_eq!(open(&path).unwrap().read("w").unwrap().unwrap().bytes, STORAGE);
}

#[test]
fn entries_are_as_pytorch_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let add = |name: &str| {
        let name = name.to_owned();
        changed(move |entries| entries.push(Entry::new(&name, b"x")))
    };
    let cases = [
        ("two pickles", add("archive/data.pkl"), "\"archive/data.pkl\": name is there twice"),
        ("two storages of one name", add("archive/data/0"), "name is there twice"),
        ("a pickle in another folder", add("other/data.pkl"), "\"other/data.pkl\": name is not one"),
        ("a pickle deeper down", add("archive/sub/data.pkl"), "name is not one"),
        ("a pickle of another name", add("archive/evil.pkl"), "\"archive/evil.pkl\": name is not one"),
        ("code of TorchScript", add("archive/code/__torch__.py"), "name is not one"),
        ("a storage that is no number", add("archive/data/../../etc/passwd"), "name is not one"),
        ("a storage without a name", add("archive/data/"), "name is not one"),
        ("a path upwards", add("../data/1"), "\"../data/1\": name is not one"),
        ("an absolute path", add("/data/1"), "name is not one"),
        ("a Windows path", add("archive\\data\\1"), "name is not one"),
        ("a Windows folder", add("C:\\archive/data/1"), "name is not one"),
        ("a control character", add("arch\u{7}ive/data/1"), "\"arch\\u{7}ive/data/1\": name is not one"),
        ("an empty name", add(""), "name is not one"),
        ("an archive in the archive", add("archive/data.7z"), "name is not one"),
        ("a tar file in the archive", add("archive/data.tar"), "name is not one"),
        ("no pickle", changed(|entries| drop(entries.remove(0))), "without an entry \"data.pkl\""),
        (
            "a big-endian archive",
            changed(|entries| entries[1] = Entry::new("archive/byteorder", b"big")),
            "byte order \"big\"",
        ),
        ("a deflated pickle", changed(|entries| entries[0].method = 8), "compression method 8"),
        (
            "a deflated storage",
            changed(|entries| entries[2].method = 8),
            "\"archive/data/0\": compression method 8",
        ),
        ("an encrypted pickle", changed(|entries| entries[0].flags |= 1), "flags 0x0801"),
        ("strong encryption", changed(|entries| entries[0].flags |= 0x40), "flags 0x0840"),
        ("masked headers", changed(|entries| entries[0].flags |= 0x2000), "flags 0x2800"),
        (
            "a wrong checksum of the pickle",
            changed(|entries| entries[0].crc32 ^= 1),
            "\"archive/data.pkl\" has checksum",
        ),
        (
            "a wrong checksum of a storage",
            changed(|entries| entries[2].crc32 ^= 1),
            "\"archive/data/0\" has checksum",
        ),
        (
            "packed and unpacked size differ",
            changed(|entries| entries[2].unpacked += 1),
            "16 bytes packed and 17 unpacked",
        ),
        (
            "an entry that reaches into the next",
            changed(|entries| {
                entries[2].packed += 1;
                entries[2].unpacked += 1;
            }),
            "it ends at byte",
        ),
    ];
    for (what, bytes, expected) in cases {
        let message = refusal(folder.path(), what, &bytes);
        assert!(message.contains(expected), "{what}: {message}");
    }
}

#[test]
fn an_entrys_own_header_says_what_the_directory_says() {
    let folder = tempfile::tempdir().unwrap();
    let lie = |name: &str, flags, method| {
        let local = Some((name.to_owned(), flags, method));
        changed(|entries| entries[0].local = local)
    };
    // Offsets in the first header: checksum 14, packed size 18, unpacked size 22.
    let cases = [
        ("another name", lie("archive/date.pkl", 0x0800, 0), "differs from the directory in name"),
        ("a longer name", lie("archive/data.pkl2", 0x0800, 0), "differs from the directory in name"),
        ("other flags", lie("archive/data.pkl", 0x0801, 0), "differs from the directory in flags"),
        (
            "another method",
            lie("archive/data.pkl", 0x0800, 8),
            "differs from the directory in compression method",
        ),
        ("another checksum", patched(|_| 14, &[0; 4]), "differs from the directory in checksum"),
        ("another packed size", patched(|_| 18, &[0; 4]), "differs from the directory in packed size"),
        ("another unpacked size", patched(|_| 22, &[0; 4]), "differs from the directory in unpacked size"),
        ("an extra field beyond the next entry", patched(|_| 28, &[0xff, 0xff]), "it ends at byte"),
    ];
    for (what, bytes, expected) in cases {
        let message = refusal(folder.path(), what, &bytes);
        assert!(message.contains(expected), "{what}: {message}");
    }
}

#[test]
fn the_directory_is_where_and_what_it_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let from_end = |n: usize| move |file: &[u8]| file.len() - n;
    // Offsets from the end: disks 18 and 16, entries 14 and 12, size 10, start 6, comment length 2.
    let cases = [
        ("bytes after the archive", [zip(&good()), vec![0]].concat(), "no zip directory at its end"),
        ("a second archive after it", [zip(&good()), zip(&good())].concat(), "the zip directory's end is"),
        ("a comment", patched(from_end(2), &[1, 0]), "comment length is 1, expected 0"),
        ("another disk", patched(from_end(18), &[1, 0]), "disk is 1, expected 0"),
        ("another disk for the directory", patched(from_end(16), &[1, 0]), "disk is 1, expected 0"),
        ("fewer entries", patched(from_end(14), &[3, 0, 3, 0]), "number of entries is 4, expected 3"),
        ("entries on other disks", patched(from_end(14), &[3, 0]), "number of entries is 4, expected 3"),
        ("a shorter directory", patched(from_end(10), &[1, 0, 0, 0]), "the zip directory's end is"),
        ("a directory elsewhere", patched(from_end(6), &[0; 4]), "the zip directory's end is"),
        ("the largest directory", patched(from_end(10), &[0xff; 8]), "the zip directory's end is"),
        ("nothing but an end", [b"PK\x05\x06".to_vec(), vec![0; 18]].concat(), "something else"),
        ("nothing but a beginning", b"PK\x03\x04".to_vec(), "no zip directory at its end"),
    ];
    for (what, bytes, expected) in cases {
        let message = refusal(folder.path(), what, &bytes);
        assert!(message.contains(expected), "{what}: {message}");
    }
    // A stray byte before the archive makes it something else; one hidden before its first entry is refused too.
    let shifted = [vec![0], zip(&good())].concat();
    assert!(refusal(folder.path(), "a byte before the archive", &shifted).contains("something else"));
}

#[test]
fn the_64_bit_directory_says_what_the_old_one_says() {
    let folder = tempfile::tempdir().unwrap();
    let real = std::fs::read(crate::testdata("dtypes_zip.pt")).unwrap();
    // From the end of PyTorch's file: the old end 22, the locator 42, the 64 bit end 98.
    let patch = |from_end: usize, bytes: &[u8]| {
        let mut file = real.clone();
        let at = file.len() - from_end;
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let cases = [
        ("the locator points elsewhere", patch(34, &[0; 8]), "64 bit end's offset is 0"),
        ("the locator's disk", patch(38, &[1]), "disk is 1"),
        ("two disks", patch(26, &[2]), "number of disks is 2"),
        ("no 64 bit end", patch(98, b"XX"), "64 bit end's signature"),
        ("a longer 64 bit end", patch(94, &[45]), "64 bit end's size is 45, expected 44"),
        ("other entries in total", patch(66, &[1]), "number of entries"),
        ("another size", patch(58, &[1]), "the zip directory's size"),
        ("another start", patch(50, &[1, 0, 0, 0]), "the zip directory's start"),
        ("a start beyond the file", patch(50, &[0xff; 8]), "the zip directory's start"),
        ("an old count that differs", patch(14, &[1, 0]), "number of entries is 1"),
    ];
    for (what, bytes, expected) in cases {
        let message = refusal(folder.path(), what, &bytes);
        assert!(message.contains(expected), "{what}: {message}");
    }
}

#[test]
fn what_is_no_checkpoint_is_called_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let tar = [vec![0; 257], b"ustar\x0000".to_vec(), vec![0; 248]].concat();
    let cases: [(&[u8], &str); 12] = [
        (b"", "is empty"),
        (b"x", "is something else"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "is a GGUF file"),
        (b"<!DOCTYPE html><title>401</title>", "is a web page"),
        (b"<html>", "is a web page"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0", "is gzip"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "is a 7z archive"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG image"),
        (&tar, "is a tar archive"),
        (&[0; 4096], "is something else"),
        (b"cos\nsystem\n(S'true'\ntR.", "is something else"),
    ];
    for (bytes, expected) in cases {
        let message = refusal(folder.path(), expected, bytes);
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("expected a safetensors file or a PyTorch checkpoint"), "{message}");
    }
}

#[test]
fn a_text_pickle_is_no_checkpoint_and_its_scan_still_tells_what_it_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    std::fs::write(&path, b"cos\nsystem\n(S'true'\ntR.").unwrap();
    let report = scan(&path).unwrap();
    assert_eq!(report.globals, ["os.system"]);
    assert_eq!(report.problems.len(), 2, "{report:?}");
}

#[test]
fn folders_and_absent_files_are_the_environments_fault() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("absent.safetensors")] {
        let error = open(&path).err().unwrap();
        assert_eq!(error.fault(), Fault::Environment, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(scan(&path).is_err());
    }
}

#[test]
fn old_checkpoints_need_their_magic_version_and_byte_order() {
    let folder = tempfile::tempdir().unwrap();
    let good = legacy(&one_tensor(), &[("0", &STORAGE)]);
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let cases = [
        ("another magic number", replaced(&[0x6c, 0xfc], &[0x6d]), "a pickle without PyTorch's magic number"),
        ("a plain pickle", one_tensor(), "a pickle without PyTorch's magic number"),
        (
            "another version",
            replaced(&1001_i32.to_le_bytes(), &[0]),
            "version Some(768) of the old PyTorch format",
        ),
        ("a big-endian machine", replaced(&[0x88, b's'], &[0x89]), "byte order \"big\""),
        (
            "an archive after it",
            [good.clone(), archive(&one_tensor(), &[])].concat(),
            "bytes after its last storage",
        ),
    ];
    for (what, bytes, expected) in cases {
        let message = refusal(folder.path(), what, &bytes);
        assert!(message.contains(expected), "{what}: {message}");
    }
}
