//! How many threads compute.

use std::cell::Cell;
use std::num::NonZero;
use std::thread::available_parallelism;

thread_local! {
    /// Threads that a library call from this thread may use; 0 where nobody has said.
    static LIMIT: Cell<usize> = const { Cell::new(0) };
}

/// Does work whose library calls use at most so many threads.
pub fn within_threads<R>(threads: usize, work: impl FnOnce() -> R) -> R {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            LIMIT.set(self.0);
        }
    }
    let _restore = Restore(LIMIT.replace(threads.max(1)));
    work()
}

/// Threads that a library call may use.
pub(crate) fn library_threads() -> usize {
    match LIMIT.get() {
        0 => available_parallelism().map_or(1, |n| n.get()).min(8),
        limit => limit,
    }
}

/// One per core that this process may use: the affinity mask and the cgroup's quota count, a core's second hardware thread does not.
pub fn default_threads() -> NonZero<usize> {
    let allowed = available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    match allowed_cores() {
        Some(cores) => allowed.min(cores),
        None => allowed,
    }
}

/// Physical cores among the processors this process may run on; `None` where the system does not tell.
#[cfg(target_os = "linux")]
fn allowed_cores() -> Option<NonZero<usize>> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = std::collections::BTreeSet::new();
    for cpu in parse_list(list.trim())? {
        let siblings = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        cores.insert(std::fs::read_to_string(siblings).ok()?);
    }
    NonZero::new(cores.len())
}

#[cfg(not(target_os = "linux"))]
fn allowed_cores() -> Option<NonZero<usize>> {
    None
}

/// The numbers of a list such as `0-3,8`.
#[cfg(any(target_os = "linux", test))]
fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last.checked_sub(first)? > 1 << 16 {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_end_with_the_work() {
        let outside = library_threads();
        let inside = within_threads(3, || (library_threads(), within_threads(0, library_threads), library_threads()));
        assert_eq!(inside, (3, 1, 3));
        assert_eq!(library_threads(), outside);
    }

    #[test]
    fn lists() {
        assert_eq!(parse_list("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse_list("5"), Some(vec![5]));
        assert_eq!(parse_list("3-1"), None);
        assert_eq!(parse_list(""), None);
    }

    #[test]
    fn default_is_within_the_affinity() {
        let most = available_parallelism().unwrap();
        assert!(default_threads() <= most);
    }
}
