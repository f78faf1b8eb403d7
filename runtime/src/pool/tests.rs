//! Every worker runs every job once, meetings hold, and a busy pool does not make a caller wait.

use super::*;
use std::sync::atomic::AtomicU64;

#[test]
fn shares_cover_everything_once() {
    let mut cases = 0;
    for items in [0, 1, 2, 7, 64, 1000, u64::MAX] {
        for workers in 1..9 {
            let mut next = 0;
            for worker in 0..workers {
                let share = Team { worker, workers, barrier: None }.share(items);
                assert_eq!(share.start, next);
                next = share.end;
            }
            assert_eq!(next, items);
            cases += 1;
        }
    }
    assert_eq!(cases, 56);
}

/// Whoever comes first, and however the claims of the workers mix.
#[test]
fn ranges_cover_everything_once() {
    let mut cases = 0;
    for items in [0, 1, 2, 3, 4, 7, 9, 64, 111, 1000] {
        for workers in [1, 2, 3, 8, 100] {
            for turn in [1, 2, 7] {
                let taken = AtomicU64::new(0);
                let team = |worker| Team { worker, workers, barrier: None }.ranges(items, &taken);
                let mut open: Vec<_> = (0..workers).map(team).collect();
                let mut seen = vec![0; items as usize];
                let mut worker = 0;
                while !open.is_empty() {
                    worker = (worker + turn) % open.len();
                    match open[worker].next() {
                        Some(range) => {
                            assert!(!range.is_empty());
                            range.for_each(|item| seen[item as usize] += 1);
                        }
                        None => drop(open.remove(worker)),
                    }
                }
                assert!(seen.iter().all(|times| *times == 1), "{items} items, {workers} workers: {seen:?}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 150);
}

#[test]
fn every_worker_runs_every_job_once() {
    for threads in [1, 2, 4] {
        let pool = Pool::new(threads);
        assert_eq!(pool.workers(), threads);
        for _ in 0..200 {
            let counts: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
            assert!(pool.run(&|team| {
                counts[team.worker].fetch_add(1, Ordering::Relaxed);
            }));
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        }
    }
}

#[test]
fn nobody_passes_a_meeting_early() {
    for threads in [2, 3, 4] {
        let pool = Pool::new(threads);
        let arrived = AtomicU64::new(0);
        let early = AtomicU64::new(0);
        pool.run(&|team| {
            for round in 1..=300 {
                arrived.fetch_add(1, Ordering::SeqCst);
                team.meet();
                if arrived.load(Ordering::SeqCst) < round * team.workers as u64 {
                    early.fetch_add(1, Ordering::SeqCst);
                }
                team.meet();
            }
        });
        assert_eq!(early.load(Ordering::SeqCst), 0);
        assert_eq!(arrived.load(Ordering::SeqCst), 300 * threads as u64);
    }
}

#[test]
fn a_busy_pool_lets_the_caller_work_alone() {
    let pool = Pool::new(2);
    let alone = AtomicU64::new(0);
    pool.run(&|team| {
        if team.worker == 0 {
            pool.run(&|inner| {
                alone.fetch_add(inner.workers as u64, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(alone.load(Ordering::Relaxed), 1);
}

#[test]
fn a_panic_is_reported_and_the_pool_lives_on() {
    let pool = Pool::new(2);
    for worker in 0..2 {
        assert!(!pool.run(&|team| assert_ne!(team.worker, worker, "on purpose")));
    }
    assert!(pool.run(&|_| ()));
}

#[test]
fn drops_while_asleep() {
    for _ in 0..20 {
        let pool = Pool::new(3);
        pool.run(&|_| ());
        drop(pool);
    }
    let pool = Pool::new(2);
    std::thread::sleep(Duration::from_millis(2));
    drop(pool);
}

#[test]
fn shared_pools_are_one() {
    let (a, b) = (Pool::shared(3), Pool::shared(3));
    assert!(Arc::ptr_eq(&a, &b));
    assert!(!Arc::ptr_eq(&a, &Pool::shared(2)));
}
