//! Worker threads that run one job together and sleep when there is none.
//!
//! Who waits for a job spins for about as long as a wake-up costs, then parks; who waits within a job spins longer, because the
//! others are about to arrive. There is no queue and no stealing: worker `w` of `W` knows its share of most of a job's items, and
//! the last quarter goes to whoever comes first, because two cores are seldom equally fast (a neighbour on the same core, a turbo
//! limit, small cores beside large ones) and all wait for the slowest. What an item computes does not depend on who computes it.
//! A caller that finds the pool at work runs its job alone, so no call ever waits for another.
#![allow(unsafe_code)]

use crate::threads::default_threads;
use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// How long who waits looks at memory before it gives its core away.
#[derive(Clone, Copy, Default)]
struct Spin {
    /// Between jobs: about the time of one wake-up.
    between: Duration,
    /// Within a job.
    within: Duration,
}

/// Within a job the others are a fraction of a millisecond away, unless the system or a hypervisor has taken a core from one of
/// them. A core that is given away then is not back when it is needed, the next to arrive waits for that one, and so on: such rows
/// of waits cost a virtual machine far more than the time of the spinning, which ends after some of a scheduler's time slices.
const SPIN: Spin = Spin { between: Duration::from_micros(50), within: Duration::from_millis(10) };

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that only grows; threads wait for it to change.
#[derive(Default)]
struct Signal {
    value: AtomicU32,
    sleepers: AtomicU32,
    mutex: Mutex<()>,
    changed: Condvar,
}

impl Signal {
    fn value(&self) -> u32 {
        self.value.load(Ordering::Acquire)
    }

    fn bump(&self) {
        // Sequentially consistent with the sleeper's own order (count itself, look at the value): one of the two sees the other.
        self.value.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.mutex));
            self.changed.notify_all();
        }
    }

    /// Waits until the value is not `old`.
    fn wait(&self, old: u32, spin: Duration) {
        if !spin.is_zero() {
            let begin = Instant::now();
            loop {
                for _ in 0..64 {
                    if self.value() != old {
                        return;
                    }
                    std::hint::spin_loop();
                }
                if begin.elapsed() > spin {
                    break;
                }
            }
        }
        let mut guard = lock(&self.mutex);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.value.load(Ordering::SeqCst) == old {
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A meeting point of all workers of a pool.
#[derive(Default)]
struct Barrier {
    arrived: AtomicUsize,
    meetings: Signal,
}

impl Barrier {
    fn meet(&self, workers: usize, spin: Duration) {
        let meeting = self.meetings.value();
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == workers {
            self.arrived.store(0, Ordering::Release);
            self.meetings.bump();
        } else {
            self.meetings.wait(meeting, spin);
        }
    }
}

/// One worker's place in a job.
#[derive(Clone, Copy)]
pub struct Team<'a> {
    /// Number of this worker.
    pub worker: usize,
    /// How many there are.
    pub workers: usize,
    barrier: Option<(&'a Barrier, Duration)>,
}

impl Team<'_> {
    /// A team of one.
    pub fn alone() -> Self {
        Team { worker: 0, workers: 1, barrier: None }
    }

    /// Waits for all workers. Each must call it equally often.
    pub fn meet(&self) {
        if let Some((barrier, spin)) = self.barrier {
            barrier.meet(self.workers, spin);
        }
    }

    /// This worker's part of `0..items`.
    pub fn share(&self, items: u64) -> Range<u64> {
        let bound = |worker: usize| (u128::from(items) * worker as u128 / self.workers as u128) as u64;
        bound(self.worker)..bound(self.worker + 1)
    }

    /// The ranges of `0..items` that this worker computes: its share of the first three quarters, then pieces of the rest until
    /// there are none. `taken` counts the items of the rest that have an owner; all workers give the same one, 0 at the start.
    pub fn ranges<'a>(&self, items: u64, taken: &'a AtomicU64) -> Ranges<'a> {
        let fixed = if self.workers == 1 { items } else { items - items / 4 };
        let share = Some(self.share(fixed)).filter(|share| !share.is_empty());
        Ranges { share, rest: fixed..items, workers: self.workers as u64, taken }
    }
}

/// The ranges of items that a worker computes; see [`Team::ranges`].
pub struct Ranges<'a> {
    share: Option<Range<u64>>,
    rest: Range<u64>,
    workers: u64,
    taken: &'a AtomicU64,
}

impl Iterator for Ranges<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        if let Some(share) = self.share.take() {
            return Some(share);
        }
        let items = self.rest.end - self.rest.start;
        // Pieces become smaller towards the end, where they decide who waits; below an eighth of a worker's part of the rest
        // the claims would cost more than the waiting.
        let smallest = (items / (8 * self.workers)).max(1);
        let piece = |taken: u64| (items - taken).min(smallest.max((items - taken) / (2 * self.workers)));
        let claim = |taken| (taken < items).then(|| taken + piece(taken));
        let begin = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).ok()?;
        Some(self.rest.start + begin..self.rest.start + begin + piece(begin))
    }
}

type Job = dyn Fn(Team<'_>) + Sync;

/// What the caller and the workers share.
struct Shared {
    /// The job of this round. Written by the caller while no worker looks: before `start` and after `finished`.
    job: UnsafeCell<Option<*const Job>>,
    start: Signal,
    running: AtomicUsize,
    finished: Signal,
    panicked: AtomicBool,
    stop: AtomicBool,
    barrier: Barrier,
    spin: Spin,
}

// SAFETY: `job` is written only under the protocol described at the field, everything else is synchronised by itself.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is only followed during `Pool::run`, which keeps the job alive and requires it to be `Sync`.
unsafe impl Send for Shared {}

impl Shared {
    fn work(&self, worker: usize, workers: usize) {
        let mut round = 0;
        loop {
            self.start.wait(round, self.spin.between);
            round = round.wrapping_add(1);
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            // SAFETY: the caller wrote the job before the signal and keeps it alive until every worker has counted down.
            if let Some(job) = unsafe { *self.job.get() } {
                let team = Team { worker, workers, barrier: Some((&self.barrier, self.spin.within)) };
                // SAFETY: as above.
                let job = unsafe { &*job };
                if catch_unwind(AssertUnwindSafe(|| job(team))).is_err() {
                    self.panicked.store(true, Ordering::Release);
                }
            }
            if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.finished.bump();
            }
        }
    }
}

/// Threads that compute together with the thread that calls.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    busy: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` in all, the caller's counted; fewer when the system gives fewer. 0 stands for [`default_threads`].
    pub fn new(threads: usize) -> Self {
        let workers = if threads == 0 { default_threads().get() } else { threads }.min(1024);
        // More threads than cores: who waits must give its core away at once.
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let spin = if workers > cores { Spin::default() } else { SPIN };
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            start: Signal::default(),
            running: AtomicUsize::new(0),
            finished: Signal::default(),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            barrier: Barrier::default(),
            spin,
        });
        match Self::spawn(&shared, workers) {
            Some(threads) => Pool { shared, threads, busy: Mutex::new(()) },
            None => Pool { shared, threads: Vec::new(), busy: Mutex::new(()) },
        }
    }

    /// All the workers or none: a worker must know their number from its first breath.
    fn spawn(shared: &Arc<Shared>, workers: usize) -> Option<Vec<JoinHandle<()>>> {
        let mut threads = Vec::with_capacity(workers.saturating_sub(1));
        for worker in 1..workers {
            let mine = Arc::clone(shared);
            let builder = std::thread::Builder::new().name(format!("brolga-{worker}"));
            match builder.spawn(move || mine.work(worker, workers)) {
                Ok(thread) => threads.push(thread),
                Err(_) => {
                    shared.stop.store(true, Ordering::Release);
                    shared.start.bump();
                    threads.into_iter().for_each(|thread| drop(thread.join()));
                    return None;
                }
            }
        }
        Some(threads)
    }

    /// The pool of this size that the whole process shares; it lives as long as someone holds it.
    pub fn shared(threads: usize) -> Arc<Pool> {
        static POOLS: Mutex<Option<HashMap<usize, Weak<Pool>>>> = Mutex::new(None);
        let mut pools = lock(&POOLS);
        let pools = pools.get_or_insert_default();
        if let Some(pool) = pools.get(&threads).and_then(Weak::upgrade) {
            return pool;
        }
        pools.retain(|_, pool| pool.strong_count() > 0);
        let pool = Arc::new(Pool::new(threads));
        pools.insert(threads, Arc::downgrade(&pool));
        pool
    }

    /// Number of workers, the caller counted.
    pub fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Runs `job` once on every worker, the caller being worker 0; alone on the caller's thread when the pool is at work already.
    /// False when a worker panicked; a job in which one worker panics before a meeting of all leaves the others waiting.
    pub fn run(&self, job: &(dyn Fn(Team<'_>) + Sync)) -> bool {
        let Ok(_busy) = self.busy.try_lock() else {
            return catch_unwind(AssertUnwindSafe(|| job(Team::alone()))).is_ok();
        };
        if self.threads.is_empty() {
            return catch_unwind(AssertUnwindSafe(|| job(Team::alone()))).is_ok();
        }
        let shared = &*self.shared;
        let round = shared.finished.value();
        // SAFETY: only the lifetime changes; the pointer is not followed after the wait at the end of this function.
        let erased = unsafe { std::mem::transmute::<*const (dyn Fn(Team<'_>) + Sync + '_), *const Job>(job) };
        // SAFETY: no worker looks at the job between two rounds, and `busy` keeps other callers out.
        unsafe { *shared.job.get() = Some(erased) };
        shared.panicked.store(false, Ordering::Release);
        shared.running.store(self.threads.len(), Ordering::Release);
        shared.start.bump();
        let team = Team { worker: 0, workers: self.workers(), barrier: Some((&shared.barrier, shared.spin.within)) };
        let own = catch_unwind(AssertUnwindSafe(|| job(team))).is_ok();
        shared.finished.wait(round, shared.spin.within);
        // SAFETY: every worker has counted down.
        unsafe { *shared.job.get() = None };
        own && !shared.panicked.load(Ordering::Acquire)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.start.bump();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs, so there is nothing to learn from the result.
            drop(thread.join());
        }
    }
}
