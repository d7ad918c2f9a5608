//! Members of an archive that torch.save wrote: a zip without compression, so that a member is a range
//! of the file.

use std::collections::HashMap;

use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder};

use crate::import::model_files::{
    confined::OpenFile,
    error::{FileError, shown},
    python,
    stored_tensor::MAX_TENSORS,
};

/// Members that are not tensors: the pickle, the version and the like.
const MAX_OTHER_MEMBERS: usize = 1000;

/// Bytes of a member's name.
const MAX_NAME_BYTES: usize = 256;

/// First bytes of every zip that has a member.
const ZIP_MAGIC: &[u8; 4] = b"PK\x03\x04";

/// First byte of a pickle, with which files of torch.save before 1.6 begin; and the place and the name in
/// the header of a tar, which it wrote before 0.1.10.
const PICKLE: u8 = 0x80;
const TAR: (u64, &[u8; 5]) = (257, b"ustar");

/// Range of the file that a member takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub start: u64,
    pub bytes: u64,
}

/// Members by their names below the one directory of the archive.
#[derive(Debug)]
pub struct Archive {
    members: HashMap<String, Member>,
}

impl Archive {
    /// Reads the directory of the archive; each member lies in the file, uncompressed.
    pub fn read(file: &OpenFile) -> Result<Self, FileError> {
        refuse_other_formats(file)?;
        let wrong = |message: String| FileError::Archive { path: file.name(), message };
        let broken = |error: rawzip::Error| wrong(shown(&error.to_string()));
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let zip = ZipArchive::from_file(file.duplicate()?, &mut buffer).map_err(broken)?;
        let mut entries = zip.entries(&mut buffer);
        let mut found = HashMap::new();
        while let Some(entry) = entries.next_entry().map_err(broken)? {
            let name = member_name(entry.file_path().as_bytes()).map_err(wrong)?;
            if entry.compression_method() != CompressionMethod::STORE
                || entry.flags().is_encrypted()
            {
                let name = shown(&name);
                return Err(wrong(format!("member {name} is compressed or encrypted")));
            }
            if found.len() >= MAX_TENSORS + MAX_OTHER_MEMBERS {
                return Err(wrong(format!("it has more than {} members", found.len())));
            }
            let shown_name = shown(&name);
            if found.insert(name, entry.wayfinder()).is_some() {
                return Err(wrong(format!("member {shown_name} is there twice")));
            }
        }
        if found.len() as u64 != zip.entries_hint() {
            let hint = zip.entries_hint();
            return Err(wrong(format!("it lists {} members and says {hint}", found.len())));
        }
        let place = |entry: ZipArchiveEntryWayfinder| -> Result<Member, rawzip::Error> {
            let (start, end) = zip.get_entry(entry)?.compressed_data_range();
            Ok(Member { start, bytes: end.saturating_sub(start) })
        };
        let mut members = HashMap::new();
        for (name, entry) in found {
            let member = place(entry).map_err(broken)?;
            let end = member.start.checked_add(member.bytes);
            let whole = member.bytes == entry.uncompressed_size_hint();
            if !whole || end.is_none_or(|end| end > file.bytes()) {
                let name = shown(&name);
                return Err(wrong(format!("member {name} has a size that does not fit the file")));
            }
            members.insert(name, member);
        }
        below_root(members).map(|members| Self { members }).map_err(wrong)
    }

    /// Member with this name below the archive's directory.
    pub fn member(&self, name: &str) -> Option<Member> {
        self.members.get(name).copied()
    }
}

/// Refuses what is no zip, and names the formats that torch.save had before.
fn refuse_other_formats(file: &OpenFile) -> Result<(), FileError> {
    let begins = |at: u64, expected: &[u8]| -> Result<bool, FileError> {
        let end = at + expected.len() as u64;
        if file.bytes() < end {
            return Ok(false);
        }
        let mut found = vec![0; expected.len()];
        file.read_at(at, &mut found)?;
        Ok(found == expected)
    };
    if begins(0, ZIP_MAGIC)? {
        return Ok(());
    }
    let path = file.name();
    if begins(0, &[PICKLE])? || begins(TAR.0, TAR.1)? {
        let command = python::safetensors(file.path());
        return Err(FileError::OldFormat { path, command });
    }
    let message = "it begins with neither a zip nor a pickle".to_owned();
    Err(FileError::Archive { path, message })
}

fn member_name(bytes: &[u8]) -> Result<String, String> {
    if bytes.len() > MAX_NAME_BYTES {
        return Err(format!("a member's name has {} bytes", bytes.len()));
    }
    let name = std::str::from_utf8(bytes).map_err(|_| "a member's name is no UTF-8".to_owned())?;
    Ok(name.to_owned())
}

/// Names without the directory that all share, which holds `data.pkl`.
fn below_root(members: HashMap<String, Member>) -> Result<HashMap<String, Member>, String> {
    let mut roots = members.keys().filter_map(|name| name.strip_suffix("/data.pkl"));
    let mut roots = roots.by_ref().filter(|root| !root.contains('/'));
    let root = match (roots.next(), roots.next()) {
        (Some(root), None) => format!("{root}/"),
        (None, _) => return Err("it has no data.pkl".to_owned()),
        (Some(_), Some(_)) => return Err("it has more than one data.pkl".to_owned()),
    };
    let below = |(name, member): (String, Member)| {
        name.strip_prefix(&root).map(|name| (name.to_owned(), member))
    };
    Ok(members.into_iter().filter_map(below).collect())
}
