//! Random files: whatever comes, an answer comes, and soon. `PROPTEST_CASES` says how many of each kind.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tronie_weights::{open, scan};

use crate::assembler::{archive, legacy, one_tensor};
use crate::benign::CHECKPOINTS;
use crate::testdata;

/// Opens, reads everything, and scans; all that matters is that it ends.
fn exercise(bytes: &[u8]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir()?;
    let path: PathBuf = folder.path().join("a");
    std::fs::write(&path, bytes)?;
    let begun = Instant::now();
    if let Ok(file) = open(&path) {
        for name in file.names() {
            let meta = file.meta(&name);
            if let Ok(tensor) = file.read(&name) {
                let tensor = tensor.ok_or_else(|| TestCaseError::fail("a named tensor is not there"))?;
                prop_assert_eq!(Some(tensor.bytes.len()), tensor.meta.size_bytes());
                prop_assert_eq!(Some(tensor.meta), meta);
            }
        }
        prop_assert!(scan(&path)?.safe);
    } else {
        let report = scan(&path)?;
        prop_assert!(!report.safe && !report.problems.is_empty());
    }
    prop_assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    Ok(())
}

/// One instruction with a plausible argument.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let plain: Vec<u8> = b"(N.0ae]})tsuRbQ\x88\x89\x85\x86\x87\x81\x8f\x90\x91\x93\x94".to_vec();
    let globals: Vec<&str> = vec![
        "ccollections\nOrderedDict\n",
        "ctorch._utils\n_rebuild_tensor_v2\n",
        "ctorch._utils\n_rebuild_parameter\n",
        "ctorch\nFloatStorage\n",
        "ctorch\nHalfStorage\n",
        "cnumpy.core.multiarray\nscalar\n",
        "cnumpy.core.multiarray\n_reconstruct\n",
        "cnumpy\nndarray\n",
        "cnumpy\ndtype\n",
        "c_codecs\nencode\n",
        "c__builtin__\nset\n",
        "cos\nsystem\n",
    ];
    let texts = vec![
        "storage",
        "0",
        "cpu",
        "w",
        "f4",
        "latin1",
        "<",
        ">",
        "state_dict",
        "collections",
        "OrderedDict",
    ];
    let text = |text: &str| [&[0x8c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    prop_oneof![
        6 => select(plain).prop_map(|byte| vec![byte]),
        3 => select(globals).prop_map(|global| global.as_bytes().to_vec()),
        3 => select(texts).prop_map(text),
        2 => (0..6_u8).prop_map(|number| vec![b'K', number]),
        1 => any::<i32>().prop_map(|number| [&b"J"[..], &number.to_le_bytes()].concat()),
        2 => (0..4_u8).prop_map(|index| vec![b'q', index]),
        2 => (0..4_u8).prop_map(|index| vec![b'h', index]),
        1 => vec(any::<u8>(), 0..12).prop_map(|bytes| {
            [&[0x8a, u8::try_from(bytes.len()).unwrap()], bytes.as_slice()].concat()
        }),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ]
}

/// Pieces of what PyTorch writes, whole and therefore likely to fit together.
fn phrase() -> impl Strategy<Value = Vec<u8>> {
    let tensor = one_tensor();
    // Between the header with the empty dictionary and the final SETITEM, STOP.
    let entry = tensor[3..tensor.len() - 2].to_vec();
    let storage = b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x04tQ".to_vec();
    let dtype =
        b"cnumpy\ndtype\n(\x8c\x02f4\x89\x88tR(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            .to_vec();
    let array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR".to_vec();
    let ordered = b"ccollections\nOrderedDict\n)R".to_vec();
    prop_oneof![
        4 => instruction(),
        1 => select(vec![entry, storage, dtype, array, ordered, b"K\x02K\x02\x86K\x02K\x01\x86".to_vec()]),
    ]
}

proptest! {
    #[test]
    fn random_bytes_are_answered(bytes in vec(any::<u8>(), 0..600)) {
        exercise(&bytes)?;
    }

    #[test]
    fn random_instructions_are_answered(phrases in vec(phrase(), 0..60), is_old: bool) {
        let pickle = [vec![0x80, 4], phrases.concat(), vec![b'.']].concat();
        let storage = [("0", &[7_u8; 16][..])];
        exercise(&if is_old { legacy(&pickle, &storage) } else { archive(&pickle, &storage) })?;
    }

    #[test]
    fn random_headers_are_answered(header in "\\{(\"[aw_]{1,3}\":\\{\"dtype\":\"(F32|U8|BOOL|X)\",\"shape\":\\[[0-3]?\\],\"data_offsets\":\\[[0-9],[0-9]\\]\\},?){0,3}\\}", n_data in 0_usize..16) {
        let length = (header.len() as u64).to_le_bytes();
        exercise(&[&length[..], header.as_bytes(), &vec![0; n_data]].concat())?;
    }

    #[test]
    fn damaged_real_files_are_answered(
        name in select(CHECKPOINTS.to_vec()),
        extension in select(vec!["pt", "safetensors"]),
        damage in vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = std::fs::read(testdata(&format!("{name}.{extension}")))?;
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(&bytes)?;
    }
}
