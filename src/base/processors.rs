//! Which processors threads may use.

use std::io;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Processors from a list as `taskset -c` takes it: numbers and ranges with commas
/// between, a range perhaps with a step: `0,2-4,8-16:2`. `None` where it is no such list.
fn numbers(list: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in list.split(',') {
        let (range, step) = match part.split_once(':') {
            Some((range, step)) => (range, step.trim().parse().ok().filter(|&n| n > 0)?),
            None => (part, 1),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CpuSet::count() {
            return None;
        }
        all.extend((first..=last).step_by(step));
    }
    Some(all)
}

/// Lets the calling thread, and those that it starts from now on, use these processors
/// alone; all of them where the list is empty.
///
/// # Errors
/// The list is none, or none of its processors is there.
pub fn keep_to(list: &str) -> io::Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "no list of processors");
    let mut set = CpuSet::new();
    for number in numbers(list).ok_or_else(invalid)? {
        set.set(number)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_taskset_reads_them() {
        for (list, expected) in [
            ("0", Some(vec![0])),
            ("0,2-4", Some(vec![0, 2, 3, 4])),
            ("1-7:3, 9", Some(vec![1, 4, 7, 9])),
            ("", None),
            ("x", None),
            ("3-1", None),
            ("1-3:0", None),
            ("0,", None),
            ("99999999", None),
        ] {
            assert_eq!(numbers(list), expected, "{list}");
        }
    }

    #[test]
    fn a_thread_keeps_to_what_it_is_told() {
        let thread = std::thread::spawn(|| {
            keep_to("0").expect("there is one");
            let set = nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("it can be asked");
            (0..CpuSet::count())
                .filter(|&n| set.is_set(n) == Ok(true))
                .collect::<Vec<_>>()
        });
        assert_eq!(thread.join().expect("no panic"), [0]);
        assert!(keep_to("0-").is_err() && keep_to("").is_ok());
    }
}
