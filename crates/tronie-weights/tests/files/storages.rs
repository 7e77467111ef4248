//! Tensors that reach outside their storage, and storages that are not what is declared.

use tronie_weights::open;

use crate::assembler::{Pickle, archive, legacy, one_tensor};
use crate::machine::check;

#[test]
fn tensors_stay_inside_their_storage() {
    let max = i32::MAX;
    let one = |offset, shape: &[i32], strides: &[i32]| {
        Pickle::new().tensor(("0", 4), offset, shape, strides).stop()
    };
    let big = |pickle: Pickle, n: u8| pickle.raw([0x8a, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, n]);
    let overflowing = {
        let head = Pickle::new().global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage(
            "FloatStorage",
            "0",
            4,
        );
        let shape = |pickle: Pickle| big(big(pickle.raw(b"("), 0x7f), 0x7f).raw(b"t");
        shape(shape(head.int(0))).raw([0x89]).raw(b"NtR").stop()
    };
    check(&[
        ("one too many", one(0, &[5], &[1]), "reaches element 5 of storage \"0\", which has 4"),
        ("an offset beyond", one(4, &[1], &[1]), "reaches element 5"),
        ("a stride beyond", one(0, &[2, 2], &[3, 1]), "reaches element 5"),
        ("a negative offset", one(-1, &[1], &[1]), "a tensor's offset is -1"),
        ("a negative stride", one(3, &[4], &[-1]), "a stride is -1"),
        ("a negative dimension", one(0, &[-4], &[1]), "a dimension is -4"),
        ("shape and strides of two lengths", one(0, &[4], &[1, 1]), "1 dimensions and 2 strides"),
        (
            "a product beyond 64 bits",
            one(0, &[max, max, max], &[0, 0, 0]),
            "the product of a tensor's 3 dimensions",
        ),
        ("a range beyond 64 bits", overflowing, "the product of a tensor's 2 dimensions"),
        (
            "a petabyte by repetition",
            one(0, &[max, 1 << 17], &[0, 0]),
            "bytes of tensors with repeated elements exceeded",
        ),
        ("the largest stride", one(0, &[2], &[max]), "reaches element 2147483648"),
        (
            "a negative storage",
            Pickle::new().storage("FloatStorage", "0", -4).stop(),
            "a storage's number of elements is -4",
        ),
        (
            "text for an offset",
            Pickle::new().call("torch._utils", "_rebuild_tensor_v2", &["x"; 6]).stop(),
            "text in place of a storage",
        ),
    ]);
}

#[test]
fn repetition_within_the_budget_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    let pickle = Pickle::new().tensor(("0", 2), 1, &[3, 2], &[0, 0]).stop();
    std::fs::write(&path, archive(&pickle, &[("0", &[1, 2, 3, 4, 5, 6, 7, 8])])).unwrap();
    let tensor = open(&path).unwrap().read("tensor").unwrap().unwrap();
    assert_eq!(tensor.bytes, [5, 6, 7, 8].repeat(6));
}

#[test]
fn storages_have_the_size_that_is_declared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    let two = {
        let first = Pickle::new().raw(b"}").text("a").tensor(("0", 4), 0, &[4], &[1]).raw(b"s");
        first.text("b").tensor(("0", 5), 0, &[5], &[1]).raw(b"s").stop()
    };
    // The lie of CVE-2026-24747 in every direction.
    let lies = [
        (
            "too short in zip",
            archive(&one_tensor(), &[("0", &[0; 12])]),
            "storage \"0\" has 12 bytes, expected 4 elements of F32",
        ),
        ("too long in zip", archive(&one_tensor(), &[("0", &[0; 20])]), "storage \"0\" has 20 bytes"),
        (
            "absent in zip",
            archive(&one_tensor(), &[("1", &[0; 16])]),
            "storage \"0\" is mentioned and not in the file",
        ),
        ("two sizes in zip", archive(&two, &[("0", &[0; 16])]), "storage \"0\" is declared twice"),
        ("too short in legacy", legacy(&one_tensor(), &[("0", &[0; 12])]), "storage \"0\" has 12 bytes"),
        ("too long in legacy", legacy(&one_tensor(), &[("0", &[0; 20])]), "storage \"0\" has 20 bytes"),
        ("absent in legacy", legacy(&one_tensor(), &[]), "storage \"0\" is mentioned and not in the file"),
        (
            "unknown in legacy",
            legacy(&one_tensor(), &[("0", &[0; 16]), ("1", &[0; 4])]),
            "storage \"1\" is in the file and not mentioned",
        ),
        (
            "twice in legacy",
            legacy(&one_tensor(), &[("0", &[0; 16]), ("0", &[0; 16])]),
            "storage \"0\" is in the file and not mentioned, or there twice",
        ),
        (
            "bytes after the last in legacy",
            [legacy(&one_tensor(), &[("0", &[0; 16])]), vec![0]].concat(),
            "bytes after its last storage",
        ),
    ];
    for (what, bytes, expected) in lies {
        std::fs::write(&path, bytes).unwrap();
        let message = open(&path).err().unwrap_or_else(|| panic!("{what} was accepted")).to_string();
        assert!(message.contains(expected), "{what}: {message}");
    }
    for bytes in [archive(&one_tensor(), &[("0", &[7; 16])]), legacy(&one_tensor(), &[("0", &[7; 16])])] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(open(&path).unwrap().read("w").unwrap().unwrap().bytes, [7; 16]);
    }
}
