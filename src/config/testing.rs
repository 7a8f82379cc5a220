//! What the tests of several files share.

use std::fs;
use std::path::{Path, PathBuf};

use super::{LoadError, Settings, Sources};

/// A folder of its own for a test, gone at its end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("larder-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path.canonicalize().expect("a folder"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn load(file: &Path) -> Result<Settings, LoadError> {
    Settings::load(Sources {
        file: Some(file.into()),
        ..Sources::default()
    })
}
