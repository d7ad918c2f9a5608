//! Writes zip archives without compression, good ones and ones that lie.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

/// Member of an archive.
pub struct Member<'a> {
    pub name: &'a str,
    /// Values at the end of the member.
    pub content: &'a [u8],
    /// Zeros before them, which take no room on the disk.
    pub hole: u64,
    pub method: u16,
    /// Difference between the size that the directory says and the true one.
    pub size_error: i64,
}

impl<'a> Member<'a> {
    pub fn new(name: &'a str, content: &'a [u8]) -> Self {
        Self { name, content, hole: 0, method: 0, size_error: 0 }
    }

    fn bytes(&self) -> u64 {
        (self.hole + self.content.len() as u64).checked_add_signed(self.size_error).expect("fits")
    }
}

/// Writes an archive; with `zip64`, all sizes and places are 64-bit ones.
pub fn write(path: &Path, members: &[Member<'_>], zip64: bool) {
    let mut file = File::create(path).expect("created");
    let mut directory = vec![];
    for member in members {
        let start = file.stream_position().expect("known");
        // Readers take sizes from the directory at the end.
        let mut local = b"PK\x03\x04\x2d\0\0\0".to_vec();
        local.extend(member.method.to_le_bytes());
        local.extend([0; 16]);
        local.extend((member.name.len() as u16).to_le_bytes());
        local.extend([0; 2]);
        local.extend(member.name.as_bytes());
        file.write_all(&local).expect("written");
        file.seek(SeekFrom::Current(member.hole.cast_signed())).expect("moved");
        file.write_all(member.content).expect("written");
        directory.extend(header(member, start, zip64));
    }
    let start = file.stream_position().expect("known");
    file.write_all(&directory).expect("written");
    let (count, size) = (members.len() as u64, directory.len() as u64);
    if zip64 {
        let mut end = b"PK\x06\x06".to_vec();
        end.extend(44u64.to_le_bytes());
        end.extend([0x2d, 0, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [count, count, size, start] {
            end.extend(number.to_le_bytes());
        }
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend((start + size).to_le_bytes());
        end.extend(1u32.to_le_bytes());
        file.write_all(&end).expect("written");
    }
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    let (count, size, start) =
        if zip64 { (0xffff, 0xffff_ffff, 0xffff_ffff) } else { (count, size, start) };
    end.extend([(count as u16).to_le_bytes(); 2].concat());
    end.extend((size as u32).to_le_bytes());
    end.extend((start as u32).to_le_bytes());
    end.extend([0; 2]);
    file.write_all(&end).expect("written");
}

fn header(member: &Member<'_>, start: u64, zip64: bool) -> Vec<u8> {
    let mut extra = vec![];
    let (mut bytes, mut place) = (member.bytes() as u32, start as u32);
    if zip64 {
        (bytes, place) = (u32::MAX, u32::MAX);
        extra.extend([1, 0, 24, 0]);
        for number in [member.bytes(), member.bytes(), start] {
            extra.extend(number.to_le_bytes());
        }
    }
    let mut header = b"PK\x01\x02\x2d\0\x2d\0\0\0".to_vec();
    header.extend(member.method.to_le_bytes());
    header.extend([0; 8]);
    header.extend([bytes.to_le_bytes(); 2].concat());
    header.extend((member.name.len() as u16).to_le_bytes());
    header.extend((extra.len() as u16).to_le_bytes());
    header.extend([0; 10]);
    header.extend(place.to_le_bytes());
    header.extend(member.name.as_bytes());
    header.extend(extra);
    header
}
