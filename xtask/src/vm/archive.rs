//! A cpio archive in the one form that the kernel unpacks at boot (Documentation/driver-api/early-userspace/buffer-format.rst
//! in its sources; "newc").

use std::collections::BTreeSet;

/// What the first file system of a kernel is made of.
#[derive(Clone, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

/// The kinds of files, as stat(2) has them.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

impl Archive {
    /// Whether this absolute path is in it.
    pub(super) fn has(&self, path: &str) -> bool {
        self.names.contains(path)
    }

    /// A directory, unless it is there. Those that it is in have to be there.
    pub(super) fn directory(&mut self, path: &str, permissions: u32) {
        self.entry(path, DIRECTORY | permissions, b"");
    }

    /// A file, unless it is there.
    pub(super) fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.entry(path, REGULAR | permissions, content);
    }

    /// A symbolic link, unless it is there.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK | 0o777, target.as_bytes());
    }

    /// The whole of it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.write("TRAILER!!!", 0, b"");
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        assert!(path.starts_with('/') && !path.contains("/../"), "{path} is absolute, and says where it is");
        if self.names.insert(path.to_owned()) {
            self.write(&path[1..], mode, content);
        }
    }

    fn write(&mut self, name: &str, mode: u32, content: &[u8]) {
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let length = |bytes: usize| u32::try_from(bytes).expect("no file of the guest has 4 GiB");
        let inode = length(self.names.len());
        // c_magic, then: ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check.
        let fields = [inode, mode, 0, 0, links, 0, length(content.len()), 0, 0, 0, 0, length(name.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Headers and contents begin at multiples of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    /// What a reader of the format finds: names, modes and contents.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, String)> {
        let mut found = Vec::new();
        let total = bytes.len();
        while !bytes.is_empty() {
            let field = |nth: usize| {
                let digits = std::str::from_utf8(&bytes[6 + 8 * nth..][..8]).expect("digits");
                u32::from_str_radix(digits, 16).expect("hexadecimal") as usize
            };
            let (mode, size, name_size) = (field(1), field(6), field(11));
            assert_eq!(&bytes[..6], b"070701");
            let name = std::str::from_utf8(&bytes[110..][..name_size - 1]).expect("a name").to_owned();
            let at = total - bytes.len();
            let content = (at + 110 + name_size).next_multiple_of(4) - at;
            let text = String::from_utf8(bytes[content..][..size].to_vec()).expect("text");
            found.push((name, u32::try_from(mode).expect("32 bits"), text));
            bytes = &bytes[(at + content + size).next_multiple_of(4) - at..];
        }
        found
    }

    #[test]
    fn what_is_put_in_is_found_once_and_in_order() {
        let mut archive = Archive::default();
        archive.directory("/a", 0o755);
        archive.file("/a/b", 0o644, b"some");
        archive.file("/a/b", 0o644, b"others");
        archive.link("/c", "a/b");
        assert!(archive.has("/a/b") && !archive.has("/b"));
        let expected =
            [("a", 0o040_755, ""), ("a/b", 0o100_644, "some"), ("c", 0o120_777, "a/b"), ("TRAILER!!!", 0, "")];
        assert_eq!(
            read(&archive.finish()),
            expected.map(|(name, mode, text)| (name.to_owned(), mode, text.to_owned()))
        );
    }
}
