//! Machine code that was compiled before, in a directory that only Braid writes to. Whoever else could write there could
//! have Braid run anything: such a directory is not used.

use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compile::digest;

/// The most bytes that are kept: of more, what was not used for longest goes.
pub const CACHE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Length of the checksum that stands before the code.
const CHECKSUM_BYTES: usize = 32;

/// What others may not do there.
const WRITABLE_BY_OTHERS: u32 = 0o022;

pub(crate) struct Cache(PathBuf);

impl Cache {
    /// The directory, made if there is none; an error where others can write to it.
    pub(crate) fn open(directory: &Path) -> Result<Self, String> {
        let words = |error: io::Error| error.to_string();
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(words)?;
        let metadata = fs::symlink_metadata(directory).map_err(words)?;
        match is_ours(&metadata) && metadata.is_dir() {
            true => Ok(Self(directory.to_owned())),
            false => Err("it is not a directory of this user's own, or others can write to it".into()),
        }
    }

    pub(crate) fn get(&self, engine: &Engine, name: &str) -> Option<Component> {
        let bytes = self.read(name)?;
        let (checksum, code) = bytes.split_at_checked(CHECKSUM_BYTES)?;
        if Sha256::digest(code).as_slice() != checksum {
            return None;
        }
        // The checksum finds a file that was not written to its end. Who can write here could also replace Braid itself.
        #[expect(unsafe_code, reason = "code that `keep` wrote, never a file of somebody else's")]
        // SAFETY: the bytes are what our compiler made for `keep`, in a directory that only Braid writes to.
        unsafe { Component::deserialize(engine, code) }.ok()
    }

    pub(crate) fn keep(&self, code: &[u8], name: &str) -> Result<(), String> {
        let mut bytes = Sha256::digest(code).to_vec();
        bytes.extend_from_slice(code);
        self.write(name, &bytes, CACHE_BYTES_MAX).map_err(|error| error.to_string())
    }

    /// A file's bytes, if it is ours.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let place = self.0.join(name);
        if !is_ours(&fs::symlink_metadata(&place).ok()?) {
            return None;
        }
        let bytes = fs::read(&place).ok()?;
        // Used now: what was not used for longer goes before it.
        let _ = File::options().append(true).open(&place).and_then(|file| file.set_modified(SystemTime::now()));
        Some(bytes)
    }

    /// Writes a file, whole or not at all, and removes others where there are more than so many bytes.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], bytes_max: u64) -> io::Result<()> {
        let place = self.0.join(name);
        let unfinished = place.with_extension(format!("{}-{:?}", std::process::id(), thread::current().id()));
        let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &place));
        written.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        self.shrink(&place, bytes_max)
    }

    /// Removes what was not used for longest, but not what was written just now.
    fn shrink(&self, newest: &Path, bytes_max: u64) -> io::Result<()> {
        let files = fs::read_dir(&self.0)?.filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        });
        let mut files: Vec<(SystemTime, u64, PathBuf)> = files.collect();
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, length, path) in files.iter().filter(|(.., path)| path != newest) {
            if bytes <= bytes_max {
                break;
            }
            // Somebody else may have removed it.
            let _ = fs::remove_file(path);
            bytes -= length;
        }
        Ok(())
    }
}

/// Whether it belongs to who runs this process, and others cannot write to it.
fn is_ours(metadata: &Metadata) -> bool {
    let of_this_process = fs::metadata("/proc/self").map(|process| process.uid());
    metadata.permissions().mode() & WRITABLE_BY_OTHERS == 0 && of_this_process.is_ok_and(|uid| uid == metadata.uid())
}

/// What a component's code is called. It is only of use to the same compiler with the same settings on the same kind of
/// machine.
pub(crate) fn cache_name(engine: &Engine, bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}.cwasm", digest(bytes), hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let home = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(&home.path().join("compiled")).expect("a fresh directory");
        let mode = fs::metadata(&cache.0).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let place = |name: &str| cache.0.join(name);
        for (age, name) in ["new", "older", "oldest"].into_iter().enumerate() {
            fs::write(place(name), [0; 100]).expect("a file");
            let at = SystemTime::now() - Duration::from_secs(60 * age as u64);
            File::options().append(true).open(place(name)).and_then(|file| file.set_modified(at)).expect("a time");
        }
        cache.shrink(&place("older"), 250).expect("it shrinks");
        assert!(place("new").exists() && place("older").exists() && !place("oldest").exists());
        cache.shrink(&place("older"), 10).expect("it shrinks");
        assert!(!place("new").exists() && place("older").exists(), "what was written just now stays");
    }

    #[test]
    fn a_directory_that_others_write_to_is_not_used() {
        let home = tempfile::tempdir().expect("a directory");
        let open = home.path().join("open");
        fs::create_dir(&open)
            .and_then(|()| fs::set_permissions(&open, fs::Permissions::from_mode(0o777)))
            .expect("open");
        assert!(Cache::open(&open).is_err());
        let own = home.path().join("own");
        Cache::open(&own).expect("a fresh directory");
        std::os::unix::fs::symlink(&own, home.path().join("link")).expect("a link");
        assert!(Cache::open(&home.path().join("link")).is_err(), "who made the link decides where it leads");
        fs::write(home.path().join("file"), "").expect("a file");
        assert!(Cache::open(&home.path().join("file")).is_err());
    }
}
