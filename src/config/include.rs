//! Which files an `include` line means.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::base::glob::{self, Case};

/// The files of a path, in order, whose components may be globs; a relative one
/// starts from `folder`.
///
/// A path without globs is returned as it is, whether there is such a file or
/// not; globs that match nothing give nothing, so that an empty `conf.d` is
/// fine. As in a shell, a glob matches a name that begins with a dot only where
/// it begins with one itself.
pub(super) fn files(pattern: &[u8], folder: &Path) -> Vec<PathBuf> {
    if glob::is_literal(pattern) {
        return vec![folder.join(OsStr::from_bytes(pattern))];
    }
    let start = match pattern {
        [b'/', ..] => PathBuf::from("/"),
        _ => folder.to_owned(),
    };
    let mut found = vec![start];
    for component in pattern.split(|&b| b == b'/').filter(|c| !c.is_empty()) {
        found = found
            .iter()
            .flat_map(|path| matching(path, component))
            .collect();
    }
    found
}

/// The paths within a folder that one component of a pattern means.
fn matching(folder: &Path, component: &[u8]) -> Vec<PathBuf> {
    if glob::is_literal(component) {
        let path = folder.join(OsStr::from_bytes(component));
        return if path.exists() {
            vec![path]
        } else {
            Vec::new()
        };
    }
    // A folder that cannot be listed holds nothing to include, as for glob(3).
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_vec())
        .filter(|name| component.starts_with(b".") || !name.starts_with(b"."))
        .filter(|name| glob::matches(component, name, Case::Exact))
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| folder.join(OsStr::from_bytes(&name)))
        .collect()
}
