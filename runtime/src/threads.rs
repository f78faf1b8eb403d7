//! How many threads compute by default.

use std::num::NonZero;
use std::thread::available_parallelism;

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
