//! What the operating system says of the process and of the machine.

use std::fs;

/// Processor time of something, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Spent in the kernel.
    pub system_us: i64,
    /// Spent outside it.
    pub user_us: i64,
}

/// Processor time of the process.
pub fn cpu() -> CpuTime {
    usage(nix::sys::resource::UsageWho::RUSAGE_SELF)
}

/// Processor time of its children that have ended.
pub fn cpu_of_children() -> CpuTime {
    usage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)
}

fn usage(who: nix::sys::resource::UsageWho) -> CpuTime {
    let us = |t: nix::sys::time::TimeVal| t.tv_sec() * 1_000_000 + t.tv_usec();
    nix::sys::resource::getrusage(who).map_or(CpuTime::default(), |usage| CpuTime {
        system_us: us(usage.system_time()),
        user_us: us(usage.user_time()),
    })
}

/// Processor time of the thread that the process began with, to 10 ms.
pub fn cpu_of_main_thread() -> CpuTime {
    let path = format!("/proc/self/task/{}/stat", std::process::id());
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The name, in brackets, may hold spaces.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = |n: usize| -> i64 {
        let field = fields.split(' ').nth(n);
        field.and_then(|f| f.parse().ok()).unwrap_or(0)
    };
    // Fields 14 and 15 of proc_pid_stat(5); Linux shows hundredths of a second.
    CpuTime {
        user_us: ticks(11) * 10_000,
        system_us: ticks(12) * 10_000,
    }
}

/// Bytes of the process that are in physical memory.
pub fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .and_then(|f| f.parse().ok())
        .unwrap_or(0);
    pages * page_bytes()
}

/// Bytes of the process that lie in transparent huge pages.
pub fn huge_page_bytes() -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    kib_of(&maps, "AnonHugePages:")
}

/// What a line of a file of /proc says, in bytes; 0 where there is none.
fn kib_of(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB"));
    kib.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn page_bytes() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .map_or(4096, |n| n as usize)
}

/// Bytes of the machine's physical memory.
pub fn machine_bytes() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kib_of(&info, "MemTotal:")
}

/// The operating system: name, release and machine.
pub fn system() -> String {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.unwrap_or_default().trim().to_string()
    };
    format!(
        "{} {} {}",
        read("ostype"),
        read("osrelease"),
        std::env::consts::ARCH
    )
}

/// Path of the running program; empty where it is not known.
pub fn executable() -> String {
    std::env::current_exe().map_or_else(|_| String::new(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_takes_memory_and_time() {
        assert!(resident_bytes() > 1 << 20);
        assert!(machine_bytes() > resident_bytes() as u64);
        assert!(cpu().user_us + cpu().system_us > 0);
        assert!(cpu_of_main_thread().user_us >= 0);
        assert!(!system().contains("  ") && !executable().is_empty());
    }
}
