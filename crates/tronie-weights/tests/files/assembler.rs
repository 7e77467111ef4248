//! Writes pickles, PyTorch archives and old-style checkpoints byte by byte, right or wrong as a test needs them.

/// A pickle under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pickle(Vec<u8>);

impl Pickle {
    /// Begins with the header of protocol 2.
    pub(crate) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    /// Begins with the header of protocol 4.
    pub(crate) fn protocol4() -> Self {
        Self(vec![0x80, 4])
    }

    /// Begins with nothing, as protocols 0 and 1 do.
    pub(crate) fn bare() -> Self {
        Self::default()
    }

    pub(crate) fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        self.raw([b'X']).raw(length).raw(text)
    }

    pub(crate) fn int(self, number: i32) -> Self {
        self.raw([b'J']).raw(number.to_le_bytes())
    }

    /// GLOBAL
    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n"))
    }

    /// STACK_GLOBAL
    pub(crate) fn stack_global(self, module: &str, name: &str) -> Self {
        self.text(module).text(name).raw([0x93])
    }

    /// A global called with text arguments.
    pub(crate) fn call(self, module: &str, name: &str, arguments: &[&str]) -> Self {
        let begun = self.global(module, name).raw(b"(");
        arguments.iter().fold(begun, |pickle, argument| pickle.text(argument)).raw(b"tR")
    }

    /// The description of a storage, as a persistent id.
    pub(crate) fn storage(self, class: &str, key: &str, n_elements: i32) -> Self {
        let tuple = self.raw(b"(").text("storage").global("torch", class).text(key).text("cpu");
        tuple.int(n_elements).raw(b"tQ")
    }

    /// A tuple of integers.
    pub(crate) fn ints(self, numbers: &[i32]) -> Self {
        numbers.iter().fold(self.raw(b"("), |pickle, &number| pickle.int(number)).raw(b"t")
    }

    /// A tensor over the whole or part of a storage of singles.
    pub(crate) fn tensor(self, storage: (&str, i32), offset: i32, shape: &[i32], strides: &[i32]) -> Self {
        let function = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
        let view =
            function.storage("FloatStorage", storage.0, storage.1).int(offset).ints(shape).ints(strides);
        view.raw([0x89]).raw(b"NtR")
    }

    pub(crate) fn stop(mut self) -> Vec<u8> {
        self.0.push(b'.');
        self.0
    }

    /// As it is, without an end.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}

/// A dictionary with one tensor "w" of four singles in storage 0.
pub(crate) fn one_tensor() -> Vec<u8> {
    Pickle::new().raw(b"}").text("w").tensor(("0", 4), 0, &[2, 2], &[2, 1]).raw(b"s").stop()
}

/// One zip entry, every field of its headers open to lies.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc32: u32,
    pub(crate) packed: u32,
    pub(crate) unpacked: u32,
    /// What the entry's own header says in place of the directory's name, flags and method.
    pub(crate) local: Option<(String, u16, u16)>,
}

impl Entry {
    pub(crate) fn new(name: &str, data: &[u8]) -> Self {
        let n_bytes = u32::try_from(data.len()).unwrap();
        Self {
            name: name.into(),
            data: data.to_vec(),
            flags: 0x0800,
            method: 0,
            crc32: crc32(data),
            packed: n_bytes,
            unpacked: n_bytes,
            local: None,
        }
    }
}

/// CRC-32 bit by bit, independent of the crate that the reader uses.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
    };
    let all =
        bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)));
    !all
}

/// A zip file of the entries, in the old 32 bit form.
pub(crate) fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    let put16 = |to: &mut Vec<u8>, numbers: &[u16]| to.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    let put32 = |to: &mut Vec<u8>, numbers: &[u32]| to.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    let length = |bytes: usize| u16::try_from(bytes).unwrap();
    for entry in entries {
        let offset = u32::try_from(file.len()).unwrap();
        let same = (entry.name.clone(), entry.flags, entry.method);
        let (name, flags, method) = entry.local.clone().unwrap_or(same);
        file.extend(b"PK\x03\x04");
        put16(&mut file, &[0, flags, method, 0, 0]);
        put32(&mut file, &[entry.crc32, entry.packed, entry.unpacked]);
        put16(&mut file, &[length(name.len()), 0]);
        file.extend(name.as_bytes());
        file.extend(&entry.data);
        directory.extend(b"PK\x01\x02");
        put16(&mut directory, &[0, 0, entry.flags, entry.method, 0, 0]);
        put32(&mut directory, &[entry.crc32, entry.packed, entry.unpacked]);
        put16(&mut directory, &[length(entry.name.len()), 0, 0, 0, 0]);
        put32(&mut directory, &[0, offset]);
        directory.extend(entry.name.as_bytes());
    }
    let start = u32::try_from(file.len()).unwrap();
    let n_directory = u32::try_from(directory.len()).unwrap();
    file.extend(directory);
    file.extend(b"PK\x05\x06");
    let n_entries = length(entries.len());
    put16(&mut file, &[0, 0, n_entries, n_entries]);
    put32(&mut file, &[n_directory, start]);
    put16(&mut file, &[0]);
    file
}

/// The entries of a PyTorch archive.
pub(crate) fn entries(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<Entry> {
    let mut entries =
        vec![Entry::new("archive/data.pkl", pickle), Entry::new("archive/byteorder", b"little")];
    entries.extend(storages.iter().map(|(key, data)| Entry::new(&format!("archive/data/{key}"), data)));
    entries.push(Entry::new("archive/version", b"3\n"));
    entries
}

/// A PyTorch archive.
pub(crate) fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    zip(&entries(pickle, storages))
}

/// A checkpoint in the format before PyTorch 1.6.
pub(crate) fn legacy(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let magic = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    let mut file = Pickle::new().raw([0x8a, 10]).raw(magic).stop();
    file.extend(Pickle::new().int(1001).stop());
    file.extend(Pickle::new().raw(b"}").text("little_endian").raw([0x88]).raw(b"s").stop());
    file.extend(pickle);
    let keys = storages.iter().fold(Pickle::new().raw(b"]("), |keys, (key, _)| keys.text(key));
    file.extend(keys.raw(b"e").stop());
    for (_, data) in storages {
        // The tests' storages hold singles.
        file.extend((data.len() as u64 / 4).to_le_bytes());
        file.extend(*data);
    }
    file
}
